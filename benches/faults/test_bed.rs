//! Test bed: three instances, their Redis, the clients that follow, and the auditors that read the logs.

use std::sync::{Arc, Mutex};

use livestream_orchestrator::domain::Partitioning;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    backend::Backend,
    fault::Fault,
    logs::Logs,
    support::{
        fault_proxy::FaultProxy,
        feed_client::Transport,
        instance::Instance,
        recording::{LogAuditor, ReconnectDelay, RecordingClient},
        servers::Redis,
        unique,
    },
};

const INSTANCES: usize = 3;
const STREAMS: usize = 20;
/// Index of the counted stream. The other streams are listed.
pub const COUNTED: usize = 0;
/// Clients of each transport.
pub const CLIENTS: [(Transport, usize); 3] =
    [(Transport::Sse, 200), (Transport::WebSocket, 20), (Transport::Grpc, 10)];

pub struct TestBed {
    pub backend: Backend,
    pub logs: Logs,
    pub instances: Vec<Instance>,
    pub streams: Arc<Mutex<Vec<String>>>,
    /// A reader of the log of each topic; `None` is the log of all streams.
    pub auditors: Vec<(Option<String>, LogAuditor)>,
    pub clients: Vec<RecordingClient>,
}

impl TestBed {
    pub async fn start(fault: Fault, livekit: &str) -> Self {
        let (backend, prefix) = (Backend::start(fault).await, unique("faults"));
        let partitioning = Partitioning::new(fault.partitions()).expect("a number of partitions");
        let logs = Logs::locate(&backend, &prefix, partitioning).await;
        let mut instances = Vec::new();
        for _ in 0..INSTANCES {
            // The viewers are not connected to LiveKit, so a reconciliation would remove them.
            let instance = Instance::new(&backend.url(), livekit, &prefix);
            let instance = instance.with("REDIS_PARTITIONS", &fault.partitions().to_string());
            let mut instance = instance.with("RECONCILE_INTERVAL", "1h");
            instance.start().await;
            instances.push(instance);
        }
        let client = Client::new();
        let mut streams = Vec::new();
        for index in 0..STREAMS {
            streams
                .push(create_stream(&client, &instances[0].address().http, index).await.expect("a stream"));
        }
        let topics = streams.iter().cloned().map(Some).chain([None]);
        let auditors = topics.map(|topic| {
            let auditor = logs.audit(topic.as_deref());
            (topic, auditor)
        });
        let auditors = auditors.collect();
        let mut test_bed = Self {
            backend,
            logs,
            instances,
            auditors,
            clients: Vec::new(),
            streams: Arc::new(Mutex::new(streams)),
        };
        test_bed.start_clients().await;
        test_bed
    }

    /// Starts the clients. Half of each transport follow all streams, half follow one stream each.
    async fn start_clients(&mut self) {
        let streams = self.streams.lock().unwrap().clone();
        let mut starting = JoinSet::new();
        for (transport, count) in CLIENTS {
            for n in 0..count {
                let topic = (n % 2 == 1).then(|| streams[n / 2 % STREAMS].clone());
                let mut addresses: Vec<_> = self.instances.iter().map(Instance::address).collect();
                addresses.rotate_left(n % INSTANCES);
                starting.spawn(RecordingClient::start(
                    addresses,
                    transport,
                    topic,
                    ReconnectDelay::ServerHint,
                ));
            }
        }
        self.clients = starting.join_all().await;
    }

    /// Returns the single server and its proxy.
    pub fn single(&mut self) -> (&mut Redis, &FaultProxy) {
        match &mut self.backend {
            Backend::Single(redis, proxy) => (redis, proxy),
            _ => unreachable!("the deployment is a single server"),
        }
    }

    pub async fn kill_connections(&mut self, kind: &str) {
        self.single().0.execute(&["CLIENT", "KILL", "TYPE", kind]).await.unwrap();
    }
}

/// Creates the stream with this index and returns its id; `None` if it was not acknowledged.
pub async fn create_stream(client: &Client, url: &str, index: usize) -> Option<String> {
    let audience = if index == COUNTED { "counted" } else { "listed" };
    let body = json!({"audience": audience});
    let answer = client.post(format!("{url}/streams")).json(&body).send().await.ok()?;
    answer.json::<Value>().await.ok()?["id"].as_str().map(str::to_owned)
}
