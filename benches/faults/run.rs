//! One run: a fault under load, and the comparison of the deliveries with the logs.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    audience::Audience,
    fault::Fault,
    load::Load,
    report::Row,
    support::{
        eventually,
        recording::{DeliveryReport, compare_with_log, now_millis},
    },
    test_bed::TestBed,
};

/// Time under load before the fault and after it.
const UNDISTURBED: Duration = Duration::from_secs(4);

/// Runs one fault on a test bed of its own.
pub async fn run(fault: Fault, livekit: &str) -> Row {
    let mut test_bed = TestBed::start(fault, livekit).await;
    let load = Load::start(&test_bed);
    let audience = Audience::new(&test_bed).await;
    let (audience, before) = run_audience(audience, &test_bed).await;
    let audience = audience.start();
    fault.inject(&mut test_bed).await;
    let ended = now_millis();
    // Stopped at the end of the fault, so that no later change tells the counts that the fault has delayed.
    let mut audience = audience.stop().await;
    sleep(UNDISTURBED).await;
    // After the pause, because a master that is being replaced may acknowledge a report that is then lost.
    if fault.may_lose_data() {
        audience.report_all(&test_bed).await;
    }
    // Stopped after the pause, so that "caught up after" covers changes that were made during the fault.
    let (changes, pause) = load.stop().await;
    wait_for_deliveries(&mut test_bed).await;
    let mut row = compare(&test_bed, fault, ended, changes, pause);
    let during = audience.wrong_counts_in_time(&test_bed).await;
    let (_, after) = run_audience(audience, &test_bed).await;
    row.wrong_counts = before + during + after;
    row
}

/// Changes the audience while nothing disturbs it; returns it with the number of counts that were not told in time.
async fn run_audience(audience: Audience, test_bed: &TestBed) -> (Audience, usize) {
    let running = audience.start();
    sleep(UNDISTURBED / 2).await;
    let audience = running.stop().await;
    let wrong = audience.wrong_counts_in_time(test_bed).await;
    (audience, wrong)
}

/// Waits until every client has received its whole log.
async fn wait_for_deliveries(test_bed: &mut TestBed) {
    for client in &mut test_bed.clients {
        let (_, auditor) = test_bed.auditors.iter().find(|(topic, _)| *topic == client.stream).unwrap();
        let mut newest = auditor.newest();
        eventually("a log without new entries", || {
            let before = std::mem::replace(&mut newest, auditor.newest());
            let is_unchanged = before == auditor.newest();
            async move { is_unchanged.then_some(()) }
        })
        .await;
        client
            .wait_for("everything", |recording| {
                let last = recording.last_position();
                recording.complete || last >= newest && !last.is_some_and(|last| auditor.has_lost(last))
            })
            .await;
    }
}

/// Compares what each client received with its log. `ended` is the end of the fault.
fn compare(test_bed: &TestBed, fault: Fault, ended: i64, changes: usize, pause: i64) -> Row {
    let (mut delivery, mut delays, mut caught_up) = (DeliveryReport::default(), Vec::new(), 0);
    for client in &test_bed.clients {
        let (_, auditor) = test_bed.auditors.iter().find(|(topic, _)| *topic == client.stream).unwrap();
        let (recording, log) = (client.recording(), auditor.log());
        delivery.add(&compare_with_log(&recording, &log));
        delays.extend(recording.delays());
        let last_before_end = log
            .entries
            .iter()
            .rev()
            .find(|entry| entry.epoch == log.epoch && i64::try_from(entry.position.0).unwrap() <= ended);
        if let Some(at) = last_before_end.and_then(|entry| recording.received_at(entry.position)) {
            caught_up = caught_up.max(at - ended);
        }
    }
    let disconnects = test_bed.clients.iter().map(|client| client.recording().disconnects).sum();
    delays.sort_unstable();
    Row { fault, changes, pause, delivery, wrong_counts: 0, disconnects, delays, caught_up }
}
