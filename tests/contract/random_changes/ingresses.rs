//! Random changes of ingresses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livestream_orchestrator::domain::{
    Change, Identity, IngressKind, IngressReport, IngressState, IngressStatus, JobId, JobMark, MaskedUrl,
    Timestamp, ingress::StateTime,
};
use proptest::{prelude::*, sample::select};

use super::{name, past, stream_id, who};

fn job() -> impl Strategy<Value = JobId> {
    (1..4u8).prop_map(|n| format!("01960000-0000-7000-8000-00000000000{n}").parse().unwrap())
}

/// A report of one of a few ingresses, of this service or of another tool.
fn ingress_report() -> impl Strategy<Value = IngressReport> {
    let error = prop::option::of(select(vec!["no \"codec\"", "\u{1F600}"]));
    let state = (select(&IngressStatus::ALL[..]), error, 0..3i64, 0..3i64, past());
    let mark = prop::option::of(job().prop_map(|job| JobMark { stream: stream_id(), job }));
    let url = select(vec![None, Some("rtmp://a.example/live"), Some("***")]);
    ((1..5u8), select(&IngressKind::ALL[..]), who(), name(), url, state, mark).prop_map(
        |(id, kind, who, name, url, (status, error, session, report, started_at), mark)| IngressReport {
            id: format!("IN_{id}").into(),
            mark,
            kind,
            identity: Identity::reported(who).unwrap(),
            name,
            url: url.map(|url| MaskedUrl::public(url.to_owned())),
            state: IngressState {
                status,
                error: error.map(str::to_owned),
                started_at,
                ended_at: None,
                time: StateTime { session, report },
            },
        },
    )
}

/// Changes of ingresses: those of requests, of webhooks, and of listings that are newer than all records, or older.
pub(super) fn ingress() -> impl Strategy<Value = Change> {
    let times = vec![None, Some(0), Some(i64::MAX / 2_000_000)];
    let before = select(times).prop_map(|time| time.map(Timestamp::from_millis));
    let by = prop::option::of(who());
    (0..8u8, job(), ingress_report(), before, by).prop_map(|(kind, job, report, before, by)| {
        let by = by.map(|by| Identity::reported(by).unwrap());
        match kind {
            0 | 1 => Change::PlanIngress { job, identity: report.identity },
            2 | 3 => Change::ConfirmIngress { job, report, by },
            4 => Change::DropIngressPlan { job, before },
            5 => Change::RemoveIngress { id: report.id, before, by },
            _ => Change::ReportIngress { report, before },
        }
    })
}
