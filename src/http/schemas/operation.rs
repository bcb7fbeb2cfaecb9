//! Problems, health, webhooks.

use utoipa::ToSchema;

/// A field that breaks a rule.
#[derive(ToSchema)]
pub struct FieldError {
    pub field: String,
    /// The rule, in words.
    pub detail: String,
}

/// A problem document (RFC 9457).
#[derive(ToSchema)]
pub struct Problem {
    #[schema(example = "urn:livestream-orchestrator:problem:stream_not_found")]
    pub r#type: String,
    #[schema(example = "Stream not found")]
    pub title: String,
    #[schema(example = 404)]
    pub status: u16,
    #[schema(example = "Stream not found")]
    pub detail: String,
    /// What a client may branch on.
    #[schema(example = "stream_not_found")]
    pub code: String,
    /// Every field that breaks a rule.
    pub errors: Option<Vec<FieldError>>,
}

/// How a part is.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum PartStatus {
    Up,
    Down,
}

/// One thing that an instance needs.
#[derive(ToSchema)]
pub struct Part {
    pub status: PartStatus,
    #[schema(example = "redis")]
    pub kind: String,
}

/// How an instance is.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Health {
    /// `ok` or `degraded`.
    pub status: String,
    pub version: String,
    /// An id of its own for every start.
    pub instance: String,
    pub uptime_seconds: u64,
    pub store: Part,
    pub livekit: LiveKitPart,
    pub feed: Part,
    pub links: Links,
}

/// How LiveKit is, and where clients connect to it.
#[derive(ToSchema)]
pub struct LiveKitPart {
    pub status: PartStatus,
    #[schema(example = "livekit")]
    pub kind: String,
    #[schema(example = "wss://livekit.example.com")]
    pub url: String,
}

/// Where else there is something to see.
#[derive(ToSchema)]
pub struct Links {
    #[schema(example = "/docs")]
    pub docs: String,
    /// Left out where metrics are elsewhere, or a proxy stands in front.
    #[schema(example = "/metrics")]
    pub metrics: Option<String>,
}

/// Whether an instance lives.
#[derive(ToSchema)]
pub struct Live {
    pub status: String,
}

/// Whether an instance can serve.
#[derive(ToSchema)]
pub struct Ready {
    /// `ok` or `unavailable`.
    pub status: String,
    pub store: PartStatus,
    pub feed: PartStatus,
}

/// What became of a webhook.
#[derive(ToSchema)]
pub struct Heard {
    #[schema(example = "applied")]
    pub outcome: String,
}
