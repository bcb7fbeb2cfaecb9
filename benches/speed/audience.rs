//! Audience: a stream with many viewers, of whom some follow it, while viewers arrive and depart.

use std::{thread, time::Duration};

use livestream_orchestrator::domain::StreamRef;
use tokio::runtime::Runtime;

use super::{
    delivery::max_clients,
    deployment::Deployment,
    http::get,
    http_load::{HttpLoad, Outcome, Pacing},
    scale::{Scale, Size},
    service::{Mode, Service},
    sse_clients::{Received, SseClients},
    statistics::{Latencies, now},
    webhooks::viewer_webhook,
};

/// Number of the first viewer whose visit is measured: greater than those of all others.
const VISITORS: usize = 1_000_000;
/// Visits at the same time whose cost is measured.
const VISITS_AT_ONCE: usize = 20;
/// Connections that bring the webhooks.
const CONNECTIONS: usize = 32;
/// Time after the last change in which its count arrives.
const TAIL: Duration = Duration::from_secs(2);
/// Maximum number of delays that are looked at, of changes at followers.
const MAX_DELAYS: usize = 2_000_000;

/// Head of the table.
pub const HEAD: &str = "| audience | viewers, of whom followers | arrivals and departures | to a follower, a second \
                    | deliveries | CPU of the service | CPU of Redis | CPU of Redis for a visit: alone, 20 at once \
                    | delay of the count \
                    | followers disconnected |\n\
                    | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |";

/// Measures both kinds of audience, and a counted one that is larger; returns the lines of the table.
pub fn measure(scale: &Scale, runtime: &Runtime) -> Vec<String> {
    let large = Size { followers: scale.large_audience.followers.min(max_clients()), ..scale.large_audience };
    let cases = [(Mode::Counted, scale.audience), (Mode::Listed, scale.audience), (Mode::Counted, large)];
    let mut lines = Vec::new();
    for (mode, size) in cases {
        let line = measure_one(mode, size, runtime);
        println!("{line}");
        lines.push(line);
    }
    lines
}

fn measure_one(mode: Mode, size: Size, runtime: &Runtime) -> String {
    let service = runtime.block_on(Service::start(Deployment::DEPLOYED));
    let stream = runtime.block_on(service.stream_of("audience", mode));
    runtime.block_on(service.viewers(&stream, 0..size.viewers));
    let visits = visit_costs(&service, &stream, size, runtime);
    let path = format!("/events?streamId={}", stream.id);
    let clients = SseClients::open_recording(service.address, get(&path), size.followers);
    let outcome = change(&service, &stream, size, || clients.count_from(now()));
    thread::sleep(TAIL);
    line(mode, size, visits, &outcome, &clients.close())
}

/// Returns the microseconds of Redis's CPU time for a visit (token, connect, leave): of visits one after another, and
/// of some at the same time.
fn visit_costs(service: &Service, stream: &StreamRef, size: Size, runtime: &Runtime) -> [f64; 2] {
    let visits =
        |first: usize, at_once| runtime.block_on(service.visits(stream, first..first + size.visits, at_once));
    // Fills the logs, so that their growth is not counted.
    visits(VISITORS, VISITS_AT_ONCE);
    let cost = |first, at_once| {
        let before = service.redis().cpu();
        visits(first, at_once);
        (service.redis().cpu() - before).as_secs_f64() * 1e6 / size.visits as f64
    };
    [cost(VISITORS + size.visits, 1), cost(VISITORS + 2 * size.visits, VISITS_AT_ONCE)]
}

/// Sends webhooks at the rate of the size: in turn, the first of the connected viewers departs and a new one arrives.
/// `started` is called before the first one that is measured.
fn change(service: &Service, stream: &StreamRef, size: Size, started: impl Fn()) -> Outcome {
    let (process, redis) = (service.process(), service.redis());
    let request = |n: u64| {
        let pair = usize::try_from(n / 2).expect("a count");
        match n % 2 {
            0 => viewer_webhook("participant_left", stream, pair),
            _ => viewer_webhook("participant_joined", stream, size.viewers + pair),
        }
    };
    let load = HttpLoad {
        address: service.address,
        connections: CONNECTIONS,
        pacing: Pacing::Open(size.rate as f64),
        request: &request,
        service: &process,
        redis: &redis,
    };
    load.run_after(started, Duration::from_secs(size.seconds))
}

fn line(mode: Mode, size: Size, visits: [f64; 2], outcome: &Outcome, received: &Received) -> String {
    let deliveries: usize = received.arrivals.iter().map(Vec::len).sum();
    let bytes = received.bytes as f64 / received.messages.max(1) as f64;
    let each = deliveries as f64 / size.followers as f64 / outcome.seconds;
    let [alone, at_once] = visits;
    let mut delays = delays(&outcome.answered_at, &received.arrivals);
    format!(
        "| {} | {}, {} | {:.0} /s of {} /s | {each:.2} messages, {:.2} KB | {:.0} /s | {:.0} % of a core \
         | {:.0} % of a core | {alone:.0} µs, {at_once:.0} µs | p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms | {} |",
        mode.name(),
        size.viewers,
        size.followers,
        outcome.rate(),
        size.rate,
        each * bytes / 1_000.0,
        deliveries as f64 / outcome.seconds,
        100.0 * outcome.cpu / outcome.seconds,
        100.0 * outcome.redis_cpu / outcome.seconds,
        delays.percentile(0.5),
        delays.percentile(0.99),
        delays.percentile(1.0),
        received.lost,
    )
}

/// Returns the time from the answer to each of some changes until each follower received the first event that was
/// recorded after it, which has the counts of the change.
fn delays(changes: &[u64], arrivals: &[Vec<(u64, u64)>]) -> Latencies {
    let step = (changes.len() * arrivals.len() / MAX_DELAYS).max(1);
    let mut delays = Latencies::default();
    for events in arrivals {
        let mut events = events.iter().peekable();
        for change in changes.iter().step_by(step) {
            while events.next_if(|(recorded, _)| recorded < change).is_some() {}
            let Some((_, received)) = events.peek() else { break };
            delays.0.push(u32::try_from(received.saturating_sub(*change)).unwrap_or(u32::MAX));
        }
    }
    delays
}
