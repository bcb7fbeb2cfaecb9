//! What Redis spends: memory for what it holds, and CPU time for each change, by how many instances follow everything.

use futures_util::StreamExt;
use livestream_orchestrator::domain::StreamRef;
use tokio::{runtime::Runtime, task::JoinHandle};

use super::{
    cases::{Scale, with_stream},
    report::Line,
    service::{Deployment, Service},
};

/// As many instances as follow all streams, each with a subscription of its own.
const INSTANCES: [usize; 3] = [1, 10, 100];
const CHANGES: usize = 3_000;
/// More than a stream's log keeps, so that more participants do not make it longer.
const FULL_LOG: usize = 1_500;

/// Both; and prints which commands the script of a join spends its time on.
pub fn of_redis(deployment: Deployment, scale: &Scale, runtime: &Runtime) -> Vec<Line> {
    let lines = vec![memory(deployment, scale.streams.min(20_000), runtime), publishing(deployment, runtime)];
    profile(deployment, runtime);
    lines
}

/// By Redis's own count, `INFO commandstats`, which has what scripts call as well.
fn profile(deployment: Deployment, runtime: &Runtime) {
    let (service, stream) = with_stream(deployment, runtime);
    let stats = runtime.block_on(async {
        service.participants(&stream, 0..FULL_LOG).await;
        service.forget_command_stats().await;
        service.participants(&stream, FULL_LOG..FULL_LOG + CHANGES).await;
        service.command_stats().await
    });
    for (command, calls, micros) in stats {
        let (calls, micros) = (calls / CHANGES as f64, micros / CHANGES as f64);
        println!("a join in Redis: {command} {calls:.1} × {:.2} = {micros:.2} µs", micros / calls);
    }
}

fn memory(deployment: Deployment, count: usize, runtime: &Runtime) -> Line {
    let (service, stream) = with_stream(deployment, runtime);
    runtime.block_on(async {
        // The log of all streams is full, too, before anything is counted.
        service.streams(0..6_000).await;
        let empty = service.redis_memory().await;
        service.streams(6_000..6_000 + count).await;
        let per_stream = (service.redis_memory().await - empty) as f64 / count as f64;
        service.participants(&stream, 0..FULL_LOG).await;
        let before = service.redis_memory().await;
        service.participants(&stream, FULL_LOG..FULL_LOG + CHANGES).await;
        let per_participant = (service.redis_memory().await - before) as f64 / CHANGES as f64;
        Line::new("memory of Redis for a stream with two events, and for a participant more".to_owned())
            .own(format!("{:.1} KB and {:.0} bytes", per_stream / 1_000.0, per_participant))
    })
}

fn publishing(deployment: Deployment, runtime: &Runtime) -> Line {
    let mut costs = Vec::new();
    for instances in INSTANCES {
        let (service, stream) = with_stream(deployment, runtime);
        costs.push(runtime.block_on(cost_of_a_change(&service, &stream, instances)));
    }
    let each = (costs[2] - costs[0]) / (INSTANCES[2] - INSTANCES[0]) as f64;
    let said: Vec<_> = INSTANCES
        .iter()
        .zip(&costs)
        .map(|(instances, cost)| format!("{cost:.0} µs for {instances}"))
        .collect();
    Line::new("CPU of Redis for a change that so many instances hear of".to_owned())
        .own(format!("{}: {each:.1} µs each", said.join(", ")))
}

/// Microseconds. One instance is there anyway.
async fn cost_of_a_change(service: &Service, stream: &StreamRef, instances: usize) -> f64 {
    let mut others: Vec<JoinHandle<()>> = Vec::new();
    for _ in 1..instances {
        let mut subscription = service.subscription().await;
        others.push(tokio::spawn(async move {
            let mut messages = subscription.on_message();
            while messages.next().await.is_some() {}
        }));
    }
    service.participants(stream, 0..FULL_LOG).await;
    let before = service.redis().cpu();
    service.participants(stream, FULL_LOG..FULL_LOG + CHANGES).await;
    let spent = service.redis().cpu() - before;
    for other in others {
        other.abort();
    }
    spent.as_secs_f64() * 1e6 / CHANGES as f64
}
