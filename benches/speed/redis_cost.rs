//! Cost in Redis: memory of a stream and a participant, and CPU time of a change by number of instances.

use futures_util::StreamExt;
use livestream_orchestrator::domain::StreamRef;
use tokio::{runtime::Runtime, task::JoinHandle};

use super::{deployment::Deployment, scale::Scale, service::Service, table::Line};

/// Numbers of instances that subscribe to the events of all streams.
const INSTANCES: [usize; 3] = [1, 10, 100];
const CHANGES: usize = 3_000;
/// More events than a stream's log keeps without a retention time, so that further participants do not lengthen it.
const FULL_LOG: usize = 1_500;

/// Measures both, and prints the time of each command in the script of a join.
pub fn all(deployment: Deployment, scale: &Scale, runtime: &Runtime) -> Vec<Line> {
    let lines = vec![
        memory(deployment, scale.streams.min(20_000), runtime),
        change_cost_by_instances(deployment, runtime),
    ];
    profile(deployment, runtime);
    lines
}

/// Prints the calls and times of `INFO commandstats`, which includes commands called by scripts.
fn profile(deployment: Deployment, runtime: &Runtime) {
    let (service, stream) = Service::with_stream(deployment, runtime);
    let stats = runtime.block_on(async {
        service.participants(&stream, 0..FULL_LOG).await;
        service.reset_command_stats().await;
        service.participants(&stream, FULL_LOG..FULL_LOG + CHANGES).await;
        service.command_stats().await
    });
    for (command, calls, micros) in stats {
        let (calls, micros) = (calls / CHANGES as f64, micros / CHANGES as f64);
        println!("a join in Redis: {command} {calls:.1} × {:.2} = {micros:.2} µs", micros / calls);
    }
}

fn memory(deployment: Deployment, count: usize, runtime: &Runtime) -> Line {
    let (service, stream) = Service::with_stream(deployment, runtime);
    runtime.block_on(async {
        // Fills the log of all streams, so that its growth is not counted.
        service.streams(0..6_000).await;
        let empty = service.redis_memory().await;
        service.streams(6_000..6_000 + count).await;
        let per_stream = (service.redis_memory().await - empty) as f64 / count as f64;
        service.participants(&stream, 0..FULL_LOG).await;
        let before = service.redis_memory().await;
        service.participants(&stream, FULL_LOG..FULL_LOG + CHANGES).await;
        let per_participant = (service.redis_memory().await - before) as f64 / CHANGES as f64;
        Line::new("memory of Redis for a stream with two events, and for each further participant".to_owned())
            .own(format!("{:.1} KB and {:.0} bytes", per_stream / 1_000.0, per_participant))
    })
}

fn change_cost_by_instances(deployment: Deployment, runtime: &Runtime) -> Line {
    let mut costs = Vec::new();
    for instances in INSTANCES {
        let (service, stream) = Service::with_stream(deployment, runtime);
        costs.push(runtime.block_on(cost_of_change(&service, &stream, instances)));
    }
    let each = (costs[2] - costs[0]) / (INSTANCES[2] - INSTANCES[0]) as f64;
    let texts: Vec<_> = INSTANCES
        .iter()
        .zip(&costs)
        .map(|(instances, cost)| format!("{cost:.0} µs for {instances}"))
        .collect();
    Line::new("CPU of Redis for a change, by number of instances that receive it".to_owned())
        .own(format!("{}: {each:.1} µs each", texts.join(", ")))
}

/// Returns the microseconds of Redis's CPU time for a change. The service is one of the instances.
async fn cost_of_change(service: &Service, stream: &StreamRef, instances: usize) -> f64 {
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
