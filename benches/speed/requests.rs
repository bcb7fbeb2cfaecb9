//! Requests and answers: each kind alone, and beside little and much.

use std::time::Duration;

use livestream_orchestrator::domain::StreamRef;
use tokio::runtime::Runtime;

use super::{
    cases::{Scale, with_stream},
    figures::median,
    report::Line,
    rest::{self, Caller, Pace},
    service::Service,
    wire::{get, post},
};

/// A kind of request, with what an Express server of the same API does a second with one core.
struct Kind {
    case: &'static str,
    express: f64,
    factor: f64,
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

/// Connections of a closed loop, and the share of its pace at which the open one asks.
const CONNECTIONS: usize = 32;
const OPEN_SHARE: f64 = 0.5;

pub fn of_each_kind(scale: &Scale, runtime: &Runtime) -> Vec<Line> {
    let (service, stream) = with_stream(runtime);
    runtime.block_on(service.participants(&stream, 0..10));
    let (process, redis) = (service.process(), service.redis());
    let mut lines = Vec::new();
    for kind in kinds(&stream) {
        if kind.express < 100.0 {
            runtime.block_on(service.streams(0..1_000));
        }
        let caller = |pace| Caller {
            address: service.address,
            connections: CONNECTIONS,
            pace,
            request: &*kind.request,
            service: &process,
            redis: &redis,
        };
        let closed = caller(Pace::Closed).run(scale.requests);
        let mut open = caller(Pace::Open(closed.rate() * OPEN_SHARE)).run(scale.requests);
        let (factor, express) = (closed.rate_a_cpu_second() / kind.express, kind.express);
        lines.push(
            Line::new(kind.case.to_owned())
                .express(format!("{express} /s"))
                .target(format!("≥ {} × Express per CPU second; {}", kind.factor, kind.goal))
                .own(format!(
                    "{:.0} /s; {:.0} per CPU second of the service, {factor:.1} × Express; Redis {:.0} µs of CPU each; \
                     at {:.0} /s p50 {:.1} ms, p99 {:.1} ms",
                    closed.rate(),
                    closed.rate_a_cpu_second(),
                    closed.redis_cpu * 1e6 / closed.answered as f64,
                    open.rate(),
                    open.latencies.percentile(0.5),
                    open.latencies.percentile(0.99)
                )),
        );
    }
    lines
}

/// CPU time of service and Redis for one request, in microseconds.
fn cost(service: &Service, request: &dyn Fn(u64) -> String, duration: Duration) -> f64 {
    let (process, redis) = (service.process(), service.redis());
    let caller = Caller {
        address: service.address,
        connections: 4,
        pace: Pace::Closed,
        request,
        service: &process,
        redis: &redis,
    };
    let rest::Outcome { answered, cpu, redis_cpu, .. } = caller.run(duration);
    (cpu + redis_cpu) * 1e6 / answered as f64
}

pub fn beside_many(scale: &Scale, runtime: &Runtime) -> Vec<Line> {
    let (service, small) = with_stream(runtime);
    let large = runtime.block_on(async {
        service.participants(&small, 0..10).await;
        let large = service.stream("large").await;
        service.participants(&large, 0..5_000).await;
        service.streams(0..98).await;
        large
    });
    let half = scale.requests / 2;
    let of = |stream: &StreamRef| kinds(stream).into_iter().nth(1).expect("joining").request;
    let (beside_few, beside_many) = (of(&small), of(&large));
    let joins =
        median((0..3).map(|_| cost(&service, &*beside_many, half) / cost(&service, &*beside_few, half)));
    let page = |_| get("/streams?limit=100");
    let few = cost(&service, &page, half);
    runtime.block_on(service.streams(98..scale.streams));
    let pages = cost(&service, &page, half) / few;
    vec![
        Line::new("CPU of a join beside 5,000 participants ÷ beside 10".to_owned())
            .target("≤ 1.2")
            .own(format!("{joins:.2}")),
        Line::new(format!("CPU of a page of 100 out of {} streams ÷ out of 100", scale.streams))
            .target("≤ 1.2")
            .own(format!("{pages:.2}")),
    ]
}
