//! Joins at the same time on several Redis servers, whichever services use them.

use std::{net::SocketAddr, thread, time::Duration};

use livestream_orchestrator::domain::StreamRef;
use tokio::runtime::Runtime;

use super::{
    deployment::Deployment,
    http::{get, post},
    http_load::{HttpLoad, Outcome, Pacing},
    process::ProcessGroup,
    service::{Mode, Service},
    sse_clients::SseClients,
};

/// Streams of each Redis server.
pub const STREAMS: usize = 8;
/// Connections of the load, for each Redis server.
const CONNECTIONS: usize = 16;

/// What the load of one Redis server needs.
struct Share {
    address: SocketAddr,
    service: ProcessGroup,
    redis: ProcessGroup,
    streams: Vec<StreamRef>,
}

/// Services with their streams.
pub struct Cluster {
    pub services: Vec<Service>,
    shares: Vec<Share>,
}

impl Cluster {
    /// Starts services that have this number of partitions each.
    pub fn start(services: usize, partitions: u16, runtime: &Runtime) -> Self {
        let start = || runtime.block_on(Service::start(Deployment::partitioned(partitions)));
        let services: Vec<_> = (0..services).map(|_| start()).collect();
        let shares = services.iter().flat_map(|service| runtime.block_on(shares(service))).collect();
        Self { services, shares }
    }

    /// Returns a stream of the first Redis server.
    pub fn stream(&self) -> &StreamRef {
        &self.shares[0].streams[0]
    }

    /// Opens a client of the feed of all streams at each service.
    pub fn clients(&self) -> Vec<SseClients> {
        let open = |service: &Service| SseClients::open(service.address, get("/events"), 1);
        self.services.iter().map(open).collect()
    }

    /// Sends joins for the first `servers` Redis servers at the same time, a thread for each.
    pub fn joins(&self, servers: usize, pacing: Pacing, duration: Duration) -> Vec<Outcome> {
        thread::scope(|scope| {
            let threads: Vec<_> = self.shares[..servers]
                .iter()
                .map(|share| scope.spawn(move || share.joins(pacing, duration)))
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("an outcome")).collect()
        })
    }

    /// Returns the microseconds of Redis's CPU time for a join, at a rate that is fixed for each Redis server.
    pub fn cost(&self, servers: usize, rate: f64, duration: Duration) -> f64 {
        let outcomes = self.joins(servers, Pacing::Open(rate), duration);
        let cpu: f64 = outcomes.iter().map(|outcome| outcome.redis_cpu).sum();
        let answered: usize = outcomes.iter().map(|outcome| outcome.answered).sum();
        cpu * 1e6 / answered as f64
    }
}

impl Share {
    fn joins(&self, pacing: Pacing, duration: Duration) -> Outcome {
        let request = |n: u64| {
            let n = usize::try_from(n).expect("a count");
            let body = format!("{{\"identity\":\"person-{}\",\"name\":\"Somebody\"}}", n / STREAMS % 10);
            let path = format!("/streams/{}/join", self.streams[n % STREAMS].id);
            post(&path, "content-type: application/json\r\n", &body)
        };
        let load = HttpLoad {
            address: self.address,
            connections: CONNECTIONS,
            pacing,
            request: &request,
            service: &self.service,
            redis: &self.redis,
        };
        load.run(duration)
    }
}

/// Creates as many streams on each Redis server of a service.
async fn shares(service: &Service) -> Vec<Share> {
    let mut streams: Vec<Vec<StreamRef>> = vec![Vec::new(); service.redis_pids().len()];
    for number in 0.. {
        let stream = service.stream_of(&format!("room-{number}"), Mode::Listed).await;
        let own = &mut streams[service.partition(&stream)];
        if own.len() < STREAMS {
            own.push(stream);
        }
        if streams.iter().all(|own| own.len() == STREAMS) {
            break;
        }
    }
    let share = |(streams, pid)| Share {
        address: service.address,
        service: service.process(),
        redis: ProcessGroup::without_children(vec![pid]),
        streams,
    };
    streams.into_iter().zip(service.redis_pids()).map(share).collect()
}
