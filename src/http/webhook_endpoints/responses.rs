//! Responses about webhook endpoints.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{Endpoint as DomainEndpoint, EventKind, Metadata, StreamId, Timestamp},
    http::request_record::ExecutedOnEndpoint,
    outbound_webhooks::{LastAnswer, Overview, TestResult},
};

/// How far an endpoint is behind.
#[derive(Serialize, ToSchema)]
pub struct Lag {
    /// Number of events that the endpoint has not got. Of a disabled endpoint: as of the end of its deliveries.
    events: u64,
    /// Age of the first of them.
    seconds: u64,
}

/// The last answer of an endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = LastWebhookAnswer)]
pub struct Answer {
    /// HTTP status; null if there was no answer.
    #[schema(required = true)]
    status: Option<u16>,
    /// Why there was no answer: `timeout`, `connection`, `unresolved` or `forbidden_address`.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

impl From<LastAnswer> for Answer {
    fn from(LastAnswer { result, at }: LastAnswer) -> Self {
        Self { status: result.ok(), error: result.err().map(|failure| failure.as_str()), at }
    }
}

/// A webhook endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    #[schema(value_type = String)]
    id: String,
    #[schema(example = "https://app.example.com/hook")]
    url: String,
    /// Types of the events to deliver; null for all.
    #[schema(value_type = Option<Vec<String>>, required = true)]
    events: Option<Vec<EventKind>>,
    /// The only stream; null for all.
    #[schema(value_type = Option<String>, required = true)]
    stream_id: Option<StreamId>,
    #[schema(value_type = Object)]
    metadata: Metadata,
    /// Null for an endpoint of `WEBHOOK_ENDPOINTS_FILE`.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    created_at: Option<Timestamp>,
    /// True if no events are delivered.
    disabled: bool,
    /// `gone` after an answer 410, `exhausted` after the last failed attempt, `requested` by PATCH.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_reason: Option<&'static str>,
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_at: Option<Timestamp>,
    /// Since when attempts have failed.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    failing_since: Option<Timestamp>,
    lag: Lag,
    #[schema(required = true)]
    last_answer: Option<Answer>,
    /// Secret that signs deliveries. Only in the response to the request that creates the endpoint.
    #[schema(example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl From<Overview> for Endpoint {
    fn from(Overview { endpoint, lag_events, lag, last_answer, failing_since }: Overview) -> Self {
        Self {
            failing_since,
            lag: Lag { events: lag_events, seconds: lag.as_secs() },
            last_answer: last_answer.map(Answer::from),
            ..Self::from(endpoint)
        }
    }
}

impl From<DomainEndpoint> for Endpoint {
    /// Shows an endpoint that has got nothing yet.
    fn from(endpoint: DomainEndpoint) -> Self {
        Self {
            id: endpoint.id.to_string(),
            url: endpoint.url,
            events: endpoint.filter.events,
            stream_id: endpoint.filter.stream_id,
            metadata: endpoint.metadata,
            created_at: endpoint.created_at,
            disabled: endpoint.disabled.is_some(),
            disabled_reason: endpoint.disabled.map(|(reason, _)| reason.as_str()),
            disabled_at: endpoint.disabled.map(|(_, at)| at),
            failing_since: None,
            lag: Lag { events: 0, seconds: 0 },
            last_answer: None,
            secret: None,
        }
    }
}

/// The secret of an endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookSecret)]
pub struct Secret {
    /// Absent in the response to a repeated request with the same `Idempotency-Key`.
    #[schema(example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<String>,
}

/// Result of a test.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookTest)]
#[serde(rename_all = "camelCase")]
pub struct Tested {
    /// True if the endpoint answered 2xx.
    delivered: bool,
    /// HTTP status; null if there was no answer.
    #[schema(required = true)]
    status: Option<u16>,
    /// Why there was no answer: `timeout`, `connection`, `unresolved` or `forbidden_address`.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    /// Milliseconds until the answer.
    duration_ms: u64,
}

impl From<TestResult> for Tested {
    fn from(TestResult { answer, duration }: TestResult) -> Self {
        use crate::delivery::Answer;
        let error = match answer {
            Answer::Status { .. } => None,
            Answer::Failed(failure) => Some(failure.as_str()),
        };
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self { delivered: answer.is_success(), status: answer.status(), error, duration_ms }
    }
}

/// Builds the response to the creation of an endpoint. A replay has no secret.
pub(super) fn created(endpoint: Endpoint, secret: Option<&SecretString>) -> HttpResponse {
    let location = format!("/webhook-endpoints/{}", endpoint.id);
    let endpoint = Endpoint { secret: secret.map(|secret| secret.expose_secret().to_owned()), ..endpoint };
    HttpResponse::Created()
        .insert_header((header::LOCATION, location))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(endpoint)
}

/// Attaches to a response what re-makes it for a repetition.
pub(super) fn recorded(mut response: HttpResponse, endpoint: &crate::domain::EndpointId) -> HttpResponse {
    let status: StatusCode = response.status();
    let executed = ExecutedOnEndpoint { status, endpoint: endpoint.clone() };
    response.extensions_mut().insert(executed);
    response
}
