//! Partitions: what several Redis servers carry, what a change costs them, and the delay of the feed of all streams.

use std::time::Duration;

use livestream_orchestrator::domain::StreamRef;
use tokio::runtime::Runtime;

use super::{
    cpu_share::CpuShare,
    deployment::Deployment,
    fanout,
    http::{get, post},
    http_load::{HttpLoad, Outcome, Pacing},
    scale::{Load, Scale},
    service::{Mode, Service},
    sse_clients::SseClients,
    statistics::Latencies,
};

/// Numbers of partitions, each on a Redis server of its own.
const PARTITIONS: [u16; 2] = [1, 4];
/// Share of a core that each Redis server gets, so that the service and the load leave the servers the rest of two.
const SHARE: f64 = 0.1;
/// Streams of each partition.
const STREAMS: usize = 8;
/// Connections of the load, for each partition.
const CONNECTIONS: usize = 16;
/// Joins a second for each partition, where the cost of a change is measured.
const RATE: f64 = 500.0;
/// Times that delays are measured. The median counts.
const DELAY_LOAD: Load = Load { clients: 1, rate: 20, seconds: 10 };

/// Head of the table.
pub const HEAD: &str = "| Redis servers and partitions | joins a second, each server held to a share of a core \
                    | CPU of Redis for a join, at a fixed rate | the same with a client of all streams \
                    | delay, one stream's feed | delay, feed of all streams |\n\
                    | --- | --- | --- | --- | --- | --- |";

/// Results with one number of partitions.
struct Measured {
    partitions: u16,
    /// Joins a second with limited servers.
    rate: f64,
    /// Microseconds of Redis's CPU time for a join: without and with a client of all streams.
    costs: [f64; 2],
    /// Delay of one stream's feed, and of the feed of all streams.
    delays: [Latencies; 2],
}

/// Measures each number of partitions; returns the lines of the table.
pub fn measure(scale: &Scale, runtime: &Runtime) -> Vec<String> {
    let mut all = PARTITIONS.map(|partitions| measure_one(partitions, scale, runtime));
    let mut lines: Vec<_> = all.iter_mut().map(line).collect();
    lines.push(comparison(&mut all));
    lines.iter().for_each(|line| println!("{line}"));
    lines
}

/// Returns the text before the table.
pub fn intro() -> String {
    let text = include_str!("partitions.md");
    let share = format!("{:.0} %", SHARE * 100.0);
    text.replace("{share}", &share)
        .replace("{rate}", &RATE.to_string())
        .replace("{streams}", &STREAMS.to_string())
}

fn measure_one(partitions: u16, scale: &Scale, runtime: &Runtime) -> Measured {
    let service = runtime.block_on(Service::start(Deployment::partitioned(partitions)));
    let streams = runtime.block_on(streams(&service, partitions));
    let own = cost(&service, &streams, partitions, scale);
    let (feed, all) = (format!("/events?streamId={}", streams[0].id), "/events");
    let delays = [&*feed, all].map(|path| fanout::feed(DELAY_LOAD, &service, &streams[0], path).latencies);
    let with_client = {
        let _client = SseClients::open(service.address, get(all), 1);
        cost(&service, &streams, partitions, scale)
    };
    let shares: Vec<_> = service.redis_pids().into_iter().map(|pid| CpuShare::limit(pid, SHARE)).collect();
    assert!(shares.iter().all(Option::is_some), "control groups need the rights of root");
    let rate = joins(&service, &streams, partitions, Pacing::Closed, scale.requests).rate();
    drop(service);
    Measured { partitions, rate, costs: [own, with_client], delays }
}

/// Creates as many streams in each partition, the partitions in turn.
async fn streams(service: &Service, partitions: u16) -> Vec<StreamRef> {
    let mut of: Vec<Vec<StreamRef>> = vec![Vec::new(); usize::from(partitions)];
    for number in 0.. {
        let stream = service.stream_of(&format!("room-{number}"), Mode::Listed).await;
        let own = &mut of[service.partition(&stream)];
        if own.len() < STREAMS {
            own.push(stream);
        }
        if of.iter().all(|own| own.len() == STREAMS) {
            break;
        }
    }
    (0..STREAMS).flat_map(|n| of.iter().map(move |own| own[n].clone())).collect()
}

fn joins(
    service: &Service,
    streams: &[StreamRef],
    partitions: u16,
    pacing: Pacing,
    duration: Duration,
) -> Outcome {
    let (process, redis) = (service.process(), service.redis());
    let request = |n: u64| {
        let n = usize::try_from(n).expect("a count");
        let body = format!("{{\"identity\":\"person-{}\",\"name\":\"Somebody\"}}", n / streams.len() % 10);
        let path = format!("/streams/{}/join", streams[n % streams.len()].id);
        post(&path, "content-type: application/json\r\n", &body)
    };
    let load = HttpLoad {
        address: service.address,
        connections: CONNECTIONS * usize::from(partitions),
        pacing,
        request: &request,
        service: &process,
        redis: &redis,
    };
    load.run(duration)
}

/// Returns the microseconds of Redis's CPU time for a join at a rate that is fixed for each partition.
fn cost(service: &Service, streams: &[StreamRef], partitions: u16, scale: &Scale) -> f64 {
    let pacing = Pacing::Open(RATE * f64::from(partitions));
    let outcome = joins(service, streams, partitions, pacing, scale.requests * 2);
    outcome.redis_cpu * 1e6 / outcome.answered as f64
}

fn line(measured: &mut Measured) -> String {
    let Measured { partitions, rate, costs: [own, with_client], delays } = measured;
    let [one, all] = delays
        .each_mut()
        .map(|delays| format!("p50 {:.1} ms, p99 {:.1} ms", delays.percentile(0.5), delays.percentile(0.99)));
    format!("| {partitions} | {rate:.0} | {own:.0} µs | {with_client:.0} µs | {one} | {all} |")
}

/// The last line: the greater number of partitions compared with one.
fn comparison([one, many]: &mut [Measured; 2]) -> String {
    let ratio = many.rate / one.rate;
    let [own, with_client] = [0, 1].map(|n| 100.0 * (many.costs[n] / one.costs[n] - 1.0));
    let [of_one, of_all] = [0, 1].map(|n| many.delays[n].percentile(0.99) - one.delays[n].percentile(0.99));
    format!(
        "| **compared** | **{ratio:.2} ×** (to reach: 3.6 ×) | **{own:+.1} %** (at most +5 %) \
         | **{with_client:+.1} %** \
         | p99 **{of_one:+.1} ms** | p99 **{of_all:+.1} ms** (at most +20 ms) |"
    )
}
