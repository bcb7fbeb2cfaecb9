//! Requests: rate and CPU time of each kind, cost of the request log, and cost with growing state.

use std::time::Duration;

use livestream_orchestrator::domain::StreamRef;
use tokio::runtime::Runtime;

use super::{
    deployment::Deployment,
    http::{get, post},
    http_load::{self, HttpLoad, Pacing},
    scale::{LOG_ROUNDS, Scale},
    service::Service,
    statistics::median,
    table::Line,
};

/// A kind of request.
struct Kind {
    case: &'static str,
    /// Requests a second of an Express server of the same API, on one core.
    express: f64,
    /// Target, as a multiple of Express per second of CPU time.
    factor: f64,
    /// Target, in requests a second.
    goal: &'static str,
    request: Box<dyn Fn(u64) -> String>,
}

fn kinds(stream: &StreamRef) -> [Kind; 3] {
    let state = format!("/streams/{}/state", stream.id);
    let join = format!("/streams/{}/join", stream.id);
    let joining = move |n: u64| {
        let body = format!("{{\"identity\":\"person-{}\",\"name\":\"Somebody\"}}", n % 10);
        post(&join, "content-type: application/json\r\n", &body)
    };
    [
        Kind {
            case: "GET state, 10 participants",
            express: 10_900.0,
            factor: 5.0,
            goal: "≥ 50 k/s",
            request: Box::new(move |_| get(&state)),
        },
        Kind {
            case: "POST join",
            express: 9_000.0,
            factor: 5.0,
            goal: "≥ 40 k/s",
            request: Box::new(joining),
        },
        Kind {
            case: "GET /streams of 1,000",
            express: 65.0,
            factor: 20.0,
            goal: "–",
            request: Box::new(|_| get("/streams?limit=1000")),
        },
    ]
}

const CONNECTIONS: usize = 32;
/// Rate of the open loop, as a share of the closed loop's rate.
const OPEN_SHARE: f64 = 0.5;

/// Measures each kind of request in a closed and in an open loop.
pub fn each_kind(deployment: Deployment, scale: &Scale, runtime: &Runtime) -> Vec<Line> {
    let (service, stream) = Service::with_stream(deployment, runtime);
    runtime.block_on(service.participants(&stream, 0..10));
    let (process, redis) = (service.process(), service.redis());
    let mut lines = Vec::new();
    for kind in kinds(&stream) {
        if kind.express < 100.0 {
            runtime.block_on(service.streams(0..1_000));
        }
        let load = |pacing| HttpLoad {
            address: service.address,
            connections: CONNECTIONS,
            pacing,
            request: &*kind.request,
            service: &process,
            redis: &redis,
        };
        let closed = load(Pacing::Closed).run(scale.requests);
        let mut open = load(Pacing::Open(closed.rate() * OPEN_SHARE)).run(scale.requests);
        let (factor, express) = (closed.rate_per_cpu_second() / kind.express, kind.express);
        lines.push(
            Line::new(kind.case.to_owned())
                .express(format!("{express} /s"))
                .target(format!("≥ {} × Express per CPU second; {}", kind.factor, kind.goal))
                .own(format!(
                    "{:.0} /s; {:.0} µs of CPU each: {:.0} per CPU second of the service, {factor:.1} × Express; \
                     Redis {:.0} µs of CPU each; at {:.0} /s p50 {:.1} ms, p99 {:.1} ms",
                    closed.rate(),
                    closed.cpu * 1e6 / closed.answered as f64,
                    closed.rate_per_cpu_second(),
                    closed.redis_cpu * 1e6 / closed.answered as f64,
                    open.rate(),
                    open.latencies.percentile(0.5),
                    open.latencies.percentile(0.99)
                )),
        );
    }
    lines
}

/// CPU time of one request, in microseconds.
struct Cost {
    service: f64,
    redis: f64,
}

impl Cost {
    fn sum(&self) -> f64 {
        self.service + self.redis
    }
}

fn cost(service: &Service, connections: usize, request: &dyn Fn(u64) -> String, duration: Duration) -> Cost {
    let (process, redis) = (service.process(), service.redis());
    let load = HttpLoad {
        address: service.address,
        connections,
        pacing: Pacing::Closed,
        request,
        service: &process,
        redis: &redis,
    };
    let http_load::Outcome { answered, cpu, redis_cpu, .. } = load.run(duration);
    let each = |seconds: f64| seconds * 1e6 / answered as f64;
    Cost { service: each(cpu), redis: each(redis_cpu) }
}

/// Measures the CPU time of the request log, as the difference to a service without a log: for a read without a log
/// line and for a read with one. A change is not measured, because its time varies by more than the cost of a line.
pub fn log_cost(scale: &Scale, runtime: &Runtime) -> Vec<Line> {
    let [silent, deployed, verbose] =
        [Deployment::SILENT, Deployment::DEPLOYED, Deployment::VERBOSE].map(|deployment| {
            let (service, stream) = Service::with_stream(deployment, runtime);
            runtime.block_on(service.participants(&stream, 0..10));
            let request = format!("/streams/{}/state", stream.id);
            (service, request)
        });
    let of = |(service, path): &(Service, String)| {
        cost(service, CONNECTIONS, &|_| get(path), scale.requests / 2).service
    };
    let (mut without_line, mut with_line) = (Vec::new(), Vec::new());
    for _ in 0..LOG_ROUNDS {
        let [silent, deployed, verbose] = [&silent, &deployed, &verbose].map(of);
        println!(
            "GET state: {silent:.1} µs without a log, {deployed:.1} as deployed, {verbose:.1} with a line each"
        );
        without_line.push(deployed - silent);
        with_line.push(verbose - silent);
    }
    let line = |what: &str, spent| {
        let line = Line::new(format!("CPU of the request log for a request {what}")).target("≤ 2 µs");
        line.own(format!("{:.1} µs", median(spent)))
    };
    vec![line("without a line (a read)", without_line), line("with a line (a change, an error)", with_line)]
}

/// Measures the growth of a join's cost with the participants, and of a page's cost with the streams.
pub fn growth(deployment: Deployment, scale: &Scale, runtime: &Runtime) -> Vec<Line> {
    let (service, small) = Service::with_stream(deployment, runtime);
    let large = runtime.block_on(async {
        service.participants(&small, 0..10).await;
        let large = service.stream("large").await;
        service.participants(&large, 0..5_000).await;
        service.streams(0..98).await;
        large
    });
    let half = scale.requests / 2;
    let of = |stream: &StreamRef| kinds(stream).into_iter().nth(1).expect("joining").request;
    let (join_small, join_large) = (of(&small), of(&large));
    let each = |request: &dyn Fn(u64) -> String| cost(&service, 4, request, half).sum();
    let joins = median((0..3).map(|_| each(&*join_large) / each(&*join_small)));
    let page = |_| get("/streams?limit=100");
    let few = each(&page);
    runtime.block_on(service.streams(98..scale.streams));
    let pages = each(&page) / few;
    vec![
        Line::new("CPU of a join beside 5,000 participants ÷ beside 10".to_owned())
            .target("≤ 1.2")
            .own(format!("{joins:.2}")),
        Line::new(format!("CPU of a page of 100 out of {} streams ÷ out of 100", scale.streams))
            .target("≤ 1.2")
            .own(format!("{pages:.2}")),
    ]
}
