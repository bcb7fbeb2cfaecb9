//! Three instances, what they stand on, who follows and who makes the changes.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    faults::{Deployment, Fault},
    report::Row,
    support::{
        cluster::Cluster,
        eventually,
        fault_proxy::FaultProxy,
        feed_client::Transport,
        instance::Instance,
        recording::{
            DeliveryReport, LogAuditor, ReconnectDelay, RecordingClient, SharedUrl, compare_with_log,
            now_millis,
        },
        sentinel::SentinelGroup,
        servers::Redis,
        unique,
    },
};

const INSTANCES: usize = 3;
const STREAMS: usize = 20;
pub const AUDIENCE: [(Transport, usize); 3] =
    [(Transport::Sse, 200), (Transport::WebSocket, 20), (Transport::Grpc, 10)];
/// Whoever makes changes, and how often each does.
const WRITERS: usize = 5;
const PACE: Duration = Duration::from_millis(100);
pub const CHANGES_A_SECOND: usize = 50;
/// Before the fault and after it.
const CALM: Duration = Duration::from_secs(4);

/// What the instances stand on.
pub enum Backend {
    /// One Redis, reached through a proxy.
    One(Redis, FaultProxy),
    Sentinel(SentinelGroup),
    Cluster(Cluster),
}

impl Backend {
    async fn start(fault: Fault) -> Self {
        match fault.deployment() {
            Deployment::One => {
                let redis = if fault.loses_data() { Redis::start() } else { Redis::start_durable() };
                let proxy = FaultProxy::start(redis.port).await;
                Self::One(redis, proxy)
            }
            Deployment::Sentinel => Self::Sentinel(SentinelGroup::start().await),
            Deployment::Cluster => Self::Cluster(Cluster::start().await),
        }
    }

    fn url(&self) -> String {
        match self {
            Self::One(_, proxy) => proxy.url(),
            Self::Sentinel(group) => group.url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }

    /// The server that has the keys at the start.
    async fn master(&self, prefix: &str) -> &Redis {
        match self {
            Self::One(redis, _) => redis,
            Self::Sentinel(group) => &group.nodes[0],
            Self::Cluster(cluster) => {
                let slot = cluster.slot(prefix).await;
                &cluster.nodes[cluster.owner(slot, 0).await.expect("an owner")]
            }
        }
    }
}

pub struct Scene {
    fault: Fault,
    pub backend: Backend,
    pub prefix: String,
    /// Where the logs are now.
    pub log_url: SharedUrl,
    pub instances: Vec<Instance>,
    streams: Arc<Mutex<Vec<String>>>,
    auditors: Vec<(Option<String>, LogAuditor)>,
    followers: Vec<RecordingClient>,
}

impl Scene {
    pub async fn set(fault: Fault, livekit: &str) -> Self {
        let (backend, prefix) = (Backend::start(fault).await, unique("faults"));
        let log_url = SharedUrl::new(backend.master(&prefix).await.url().into());
        let mut instances = Vec::new();
        for _ in 0..INSTANCES {
            let mut instance = Instance::new(&backend.url(), livekit, &prefix);
            instance.start().await;
            instances.push(instance);
        }
        let client = Client::new();
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            streams.push(create(&client, &instances[0].address().http).await.expect("a stream"));
        }
        let topics = streams.iter().cloned().map(Some).chain([None]);
        let auditors = topics.map(|topic| {
            let auditor = LogAuditor::start_at(&log_url, &prefix, topic.as_deref());
            (topic, auditor)
        });
        let auditors = auditors.collect();
        let mut scene = Self {
            fault,
            backend,
            prefix,
            log_url,
            instances,
            auditors,
            followers: Vec::new(),
            streams: Arc::new(Mutex::new(streams)),
        };
        scene.seat_audience().await;
        scene
    }

    /// Half of each kind follows all streams, half one stream each.
    async fn seat_audience(&mut self) {
        let streams = self.streams.lock().unwrap().clone();
        let mut arriving = JoinSet::new();
        for (transport, count) in AUDIENCE {
            for n in 0..count {
                let topic = (n % 2 == 1).then(|| streams[n / 2 % STREAMS].clone());
                let mut addresses: Vec<_> = self.instances.iter().map(Instance::address).collect();
                addresses.rotate_left(n % INSTANCES);
                arriving.spawn(RecordingClient::start(
                    addresses,
                    transport,
                    topic,
                    ReconnectDelay::ServerHint,
                ));
            }
        }
        self.followers = arriving.join_all().await;
    }

    /// The one Redis and the proxy in front of it.
    pub fn one(&mut self) -> (&mut Redis, &FaultProxy) {
        match &mut self.backend {
            Backend::One(redis, proxy) => (redis, proxy),
            Backend::Sentinel(_) | Backend::Cluster(_) => unreachable!("the fault is of one Redis"),
        }
    }

    pub async fn kill_connections(&mut self, kind: &str) {
        self.one().0.execute(&["CLIENT", "KILL", "TYPE", kind]).await.unwrap();
    }

    /// The logs are at this server now.
    pub fn logs_are_at(&self, url: String) {
        *self.log_url.lock().unwrap() = url;
    }

    pub async fn play(mut self) -> Row {
        let load = self.load();
        sleep(CALM).await;
        let fault = self.fault;
        fault.happen(&mut self).await;
        let lifted = now_millis();
        sleep(CALM).await;
        // So that "caught up" is told of changes that were made while the fault lasted.
        let (changes, pause) = load.end().await;
        self.settle().await;
        self.judge(lifted, changes, pause)
    }

    /// Waits until everybody has heard everything.
    async fn settle(&mut self) {
        for follower in &mut self.followers {
            let (_, auditor) = self.auditors.iter().find(|(topic, _)| *topic == follower.stream).unwrap();
            let mut newest = auditor.newest();
            eventually("the log to rest", || {
                let before = std::mem::replace(&mut newest, auditor.newest());
                let rests = before == auditor.newest();
                async move { rests.then_some(()) }
            })
            .await;
            follower
                .wait_for("everything", |recording| recording.complete || recording.last_position() >= newest)
                .await;
        }
    }

    fn judge(&self, lifted: i64, changes: usize, pause: i64) -> Row {
        let (mut verdict, mut delays, mut caught_up) = (DeliveryReport::default(), Vec::new(), 0);
        for follower in &self.followers {
            let (_, auditor) = self.auditors.iter().find(|(topic, _)| *topic == follower.stream).unwrap();
            let (recording, log) = (follower.recording(), auditor.log());
            verdict.add(&compare_with_log(&recording, &log));
            delays.extend(recording.delays());
            let before =
                log.entries.iter().rev().find(|entry| {
                    entry.epoch == log.epoch && i64::try_from(entry.position.0).unwrap() <= lifted
                });
            if let Some(at) = before.and_then(|entry| recording.received_at(entry.position)) {
                caught_up = caught_up.max(at - lifted);
            }
        }
        let cuts = self.followers.iter().map(|follower| follower.recording().disconnects).sum();
        delays.sort_unstable();
        Row { fault: self.fault, changes, pause, verdict, cuts, delays, caught_up }
    }

    /// Changes streams through one instance after another. A change that is not acknowledged is made again elsewhere.
    fn load(&self) -> Load {
        let (over, made) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<i64>>>::default());
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let urls: Vec<_> = self.instances.iter().map(|instance| instance.address().http).collect();
            let (streams, over, made) = (self.streams.clone(), over.clone(), made.clone());
            writers.spawn(async move {
                let client = Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
                let mut pace = interval(PACE);
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let mut number = writer;
                while !over.load(Ordering::Relaxed) {
                    pace.tick().await;
                    number += 1;
                    let done = change(&client, &urls[number % INSTANCES], &streams, number).await;
                    if done {
                        made.lock().unwrap().push(now_millis());
                    }
                }
            });
        }
        Load { over, made, writers }
    }
}

struct Load {
    over: Arc<AtomicBool>,
    /// When each change was acknowledged.
    made: Arc<Mutex<Vec<i64>>>,
    writers: JoinSet<()>,
}

impl Load {
    /// How many changes were made, and the longest time without any, in milliseconds.
    async fn end(self) -> (usize, i64) {
        self.over.store(true, Ordering::Relaxed);
        self.writers.join_all().await;
        let mut made = self.made.lock().unwrap().clone();
        made.sort_unstable();
        let pause = made.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        (made.len(), pause)
    }
}

async fn create(client: &Client, url: &str) -> Option<String> {
    let answer = client.post(format!("{url}/streams")).json(&json!({})).send().await.ok()?;
    answer.json::<Value>().await.ok()?["id"].as_str().map(str::to_owned)
}

/// Changes a stream; says whether that was acknowledged.
async fn change(client: &Client, url: &str, streams: &Mutex<Vec<String>>, number: usize) -> bool {
    let stream = streams.lock().unwrap()[number % STREAMS].clone();
    let patch =
        json!({"metadata": {"n": number, "text": "about two hundred bytes, as apps have: ".repeat(4)}});
    let Ok(answer) = client.patch(format!("{url}/streams/{stream}")).json(&patch).send().await else {
        return false;
    };
    if answer.status() == StatusCode::NOT_FOUND
        && let Some(new) = create(client, url).await
    {
        // Redis has forgotten it.
        streams.lock().unwrap()[number % STREAMS] = new;
    }
    answer.status() == StatusCode::OK
}
