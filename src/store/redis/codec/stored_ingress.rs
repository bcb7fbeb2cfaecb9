//! Encodes and decodes ingresses.

use serde::{Deserialize, Serialize};

use super::{
    error::corrupt,
    text::{optional, parsed, required_time, time},
};
use crate::{
    domain::{
        DisplayName, Identity, Ingress, IngressPlan, IngressReport, MaskedUrl, Timestamp, ingress::StateTime,
    },
    store::StoreError,
};

/// What LiveKit reports of an ingress, as texts. Absent values are omitted.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reported {
    ingress_id: String,
    r#type: String,
    identity: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    session: String,
    report: String,
}

/// Record of an ingress.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoredIngress {
    #[serde(flatten)]
    reported: Reported,
    created_at: String,
    changed_at: String,
    job: Option<String>,
    #[serde(default)]
    deleted: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredPlan {
    job: String,
    identity: String,
    planned_at: String,
}

/// Encodes what LiveKit reports of an ingress, for the argument of a script.
pub fn reported_ingress(report: IngressReport) -> String {
    let IngressReport { id, mark: _, kind, identity, name, url, state } = report;
    let millis = |time: Option<Timestamp>| time.map(|time| time.as_millis().to_string());
    let reported = Reported {
        ingress_id: id.to_string(),
        r#type: kind.as_str().to_owned(),
        identity: identity.to_string(),
        name: name.map(|name| name.to_string()),
        url: url.map(|url| url.to_string()),
        status: state.status.as_str().to_owned(),
        error: state.error,
        started_at: millis(state.started_at),
        ended_at: millis(state.ended_at),
        session: state.time.session.to_string(),
        report: state.time.report.to_string(),
    };
    // Texts always serialise.
    serde_json::to_string(&reported).unwrap_or_default()
}

impl StoredIngress {
    pub(super) fn into_domain(self) -> Result<Ingress, StoreError> {
        let Self { reported, created_at, changed_at, job, deleted } = self;
        Ok(Ingress {
            id: reported.ingress_id.into(),
            kind: parsed("type", &reported.r#type)?,
            identity: Identity::reported(reported.identity).ok_or_else(|| corrupt("identity"))?,
            name: reported.name.and_then(DisplayName::reported),
            url: reported.url.map(MaskedUrl::public),
            status: parsed("status", &reported.status)?,
            error: reported.error,
            created_at: required_time("createdAt", &created_at)?,
            started_at: time("startedAt", &reported.started_at.unwrap_or_default())?,
            ended_at: time("endedAt", &reported.ended_at.unwrap_or_default())?,
            deleted,
            job: optional("job", &job.unwrap_or_default())?,
            state_time: StateTime {
                session: parsed("session", &reported.session)?,
                report: parsed("report", &reported.report)?,
            },
            changed_at: required_time("changedAt", &changed_at)?,
        })
    }
}

/// Decodes an ingress from its JSON.
///
/// # Errors
/// [`StoreError::Corrupt`] for invalid JSON or an invalid field.
pub fn ingress(json: &str) -> Result<Ingress, StoreError> {
    serde_json::from_str::<StoredIngress>(json).map_err(|_| corrupt("ingress"))?.into_domain()
}

/// Decodes an intent to create an ingress from its JSON.
///
/// # Errors
/// [`StoreError::Corrupt`] for invalid JSON or an invalid field.
pub fn ingress_plan(json: &str) -> Result<IngressPlan, StoreError> {
    let stored: StoredPlan = serde_json::from_str(json).map_err(|_| corrupt("ingress plan"))?;
    Ok(IngressPlan {
        job: parsed("job", &stored.job)?,
        identity: Identity::reported(stored.identity).ok_or_else(|| corrupt("identity"))?,
        planned_at: required_time("plannedAt", &stored.planned_at)?,
    })
}
