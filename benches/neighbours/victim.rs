//! The caller beside the attack: joins of a room of its own, at a steady pace.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    deployment::{Deployment, Stream, room_admin},
    support::unique,
};

/// Time between two joins.
const PACE: Duration = Duration::from_millis(50);
/// A join that has no answer by then has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Callers that join in turn: each stays within the default limit of joins.
const CALLERS: usize = 20;

/// Latencies in milliseconds, sorted, and the joins that failed.
pub struct Joins {
    pub latencies: Vec<f64>,
    pub failures: usize,
}

impl Joins {
    pub fn percentile(&self, share: f64) -> f64 {
        let at = (self.latencies.len() as f64 * share) as usize;
        self.latencies.get(at.min(self.latencies.len().saturating_sub(1))).copied().unwrap_or(f64::INFINITY)
    }
}

/// Joins for this long; each latency runs from the moment at which the join was due.
pub async fn join_for(deployment: &Deployment, stream: &Stream, duration: Duration) -> Joins {
    let tokens: Vec<_> = (0..CALLERS).map(|_| room_admin(&unique("victim"), &stream.room)).collect();
    let url = deployment.url(&format!("/streams/{}/join", stream.id));
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (end, mut calls) = (Instant::now() + duration, Vec::new());
    while Instant::now() < end {
        let due = pace.tick().await;
        let number = calls.len();
        let body = json!({"identity": format!("person-{}", number % 50)});
        let request = deployment.client.post(&url).bearer_auth(&tokens[number % CALLERS]).json(&body);
        let call = async move {
            let status = request.timeout(PATIENCE).send().await.ok()?.status();
            status.is_success().then(|| due.elapsed().as_secs_f64() * 1_000.0)
        };
        calls.push(tokio::spawn(call));
    }
    let made = calls.len();
    let answers = join_all(calls).await.into_iter().map(|call| call.expect("a join"));
    let mut latencies: Vec<_> = answers.flatten().collect();
    latencies.sort_by(f64::total_cmp);
    Joins { failures: made - latencies.len(), latencies }
}
