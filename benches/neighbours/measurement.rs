//! One attack, measured: joins of another room without it and beside it.

use std::time::Duration;

use tokio::time::{Instant, interval};

use super::{
    attacks::{Attack, DURATION},
    deployment::Deployment,
    report::Row,
    victim::{self, Joins},
};

/// Joins without the attack.
const CALM: Duration = Duration::from_secs(10);

pub async fn measure(attack: &'static Attack) -> Row {
    let deployment = Deployment::start(attack.is_limited).await;
    let room = deployment.create("victim", 20).await;
    let own = attack.prepare(&deployment).await;
    // The first joins open connections and load scripts.
    victim::join_for(&deployment, &room, Duration::from_secs(1)).await;
    let calm = victim::join_for(&deployment, &room, CALM).await;
    let redis_before = deployment.redis_bytes_beside(&room).await;
    deployment.forget_slow_calls().await;
    let memory_before = deployment.instance.resident_kib();
    let (beside, memory_peak, calls) = beside(attack, &deployment, &room, &own).await;
    // Measuring Redis's memory makes slow calls itself.
    let slow_calls = deployment.slow_calls().await;
    for call in &slow_calls {
        eprintln!("slow: {call}");
    }
    Row {
        attack,
        calm,
        beside,
        calls,
        redis_growth: deployment.redis_bytes_beside(&room).await - redis_before,
        memory_growth_kib: memory_peak.saturating_sub(memory_before),
        slow_calls: slow_calls.len(),
    }
}

async fn beside(
    attack: &'static Attack,
    deployment: &Deployment,
    room: &super::deployment::Stream,
    own: &super::deployment::Stream,
) -> (Joins, u64, usize) {
    let attacking = attack.run(deployment, own, DURATION);
    let joining = victim::join_for(deployment, room, DURATION);
    let (calls, joins, peak) = tokio::join!(attacking, joining, peak_memory(deployment, DURATION));
    (joins, peak, calls)
}

/// The greatest resident memory of the instance, in KiB.
async fn peak_memory(deployment: &Deployment, duration: Duration) -> u64 {
    let (end, mut tick, mut peak) = (Instant::now() + duration, interval(Duration::from_millis(200)), 0);
    while Instant::now() < end {
        tick.tick().await;
        peak = peak.max(deployment.instance.resident_kib());
    }
    peak
}
