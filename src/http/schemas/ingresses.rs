//! Schema of ingresses.
#![allow(dead_code, reason = "the domain serialises ingresses; only utoipa reads these types")]

use utoipa::ToSchema;

use crate::domain::{IngressKind, IngressStatus};

/// A source outside of LiveKit that takes part in a stream.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Ingress {
    /// LiveKit's id of the ingress.
    #[schema(example = "IN_Vkn5sLrK3xSb")]
    pub ingress_id: String,
    pub r#type: IngressKind,
    /// Identity of its participant.
    #[schema(example = "obs")]
    pub identity: String,
    /// Display name of its participant.
    #[schema(required = true, example = "Studio")]
    pub name: Option<String>,
    /// Address that the encoder pushes to; null if LiveKit's configuration has none. Of the type `url`, the address
    /// that LiveKit pulls, with userinfo, query and fragment as `***`.
    #[schema(required = true, example = "rtmp://ingress.example.com/live")]
    pub url: Option<String>,
    /// Key that the encoder sends. Only in the response to the creation, and for `roomAdmin` and `ingressAdmin` in the
    /// response to `GET` of the ingress; absent for the type `url`.
    #[schema(nullable = false, example = "4tYbq3nWf8zK")]
    pub stream_key: Option<String>,
    pub status: IngressStatus,
    /// Why the source cannot be published.
    #[schema(required = true)]
    pub error: Option<String>,
    #[schema(format = DateTime, example = "2026-01-14T10:00:00.000Z")]
    pub created_at: String,
    /// Start of the last session; null before.
    #[schema(required = true, format = DateTime)]
    pub started_at: Option<String>,
    /// End of the last session; null before.
    #[schema(required = true, format = DateTime)]
    pub ended_at: Option<String>,
    /// True in the last event of the ingress, which is deleted; otherwise absent.
    #[schema(nullable = false)]
    pub deleted: Option<bool>,
}
