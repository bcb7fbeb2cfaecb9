//! Records of executed requests about media jobs: ingresses, recordings and broadcasts.

use actix_web::http::StatusCode;

use crate::domain::{EgressId, EgressKind, IngressId, StreamId};

/// Media job of LiveKit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaJob {
    /// An ingress.
    Ingress(IngressId),
    /// A recording or a broadcast.
    Egress(EgressKind, EgressId),
}

/// Executed request about a media job. Handlers attach it to the response, as
/// [`Executed`](super::request_record::Executed).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutedOnJob {
    /// Status of the first response.
    pub status: StatusCode,
    /// The stream.
    pub stream: StreamId,
    /// The job.
    pub job: MediaJob,
}

/// Prefixes of the records: the stream's id and that of the job follow.
const INGRESS: &str = "ingress:";
const RECORDING: &str = "recording:";
const BROADCAST: &str = "broadcast:";

impl ExecutedOnJob {
    /// Returns the stored text without the status.
    pub(super) fn to_text(&self) -> String {
        let stream = self.stream;
        match &self.job {
            MediaJob::Ingress(id) => format!("{INGRESS}{stream} {id}"),
            MediaJob::Egress(EgressKind::Recording, id) => format!("{RECORDING}{stream} {id}"),
            MediaJob::Egress(EgressKind::Broadcast, id) => format!("{BROADCAST}{stream} {id}"),
        }
    }

    /// Parses [`Self::to_text`]; `None` for any other text.
    pub(super) fn parse(status: StatusCode, text: &str) -> Option<Self> {
        let of_kind = |kind| move |id: &str| MediaJob::Egress(kind, id.into());
        Self::with_prefix(status, text, INGRESS, |id| MediaJob::Ingress(id.into()))
            .or_else(|| Self::with_prefix(status, text, RECORDING, of_kind(EgressKind::Recording)))
            .or_else(|| Self::with_prefix(status, text, BROADCAST, of_kind(EgressKind::Broadcast)))
    }

    fn with_prefix(
        status: StatusCode,
        text: &str,
        prefix: &str,
        job: impl FnOnce(&str) -> MediaJob,
    ) -> Option<Self> {
        let (stream, id) = text.strip_prefix(prefix)?.split_once(' ')?;
        Some(Self { status, stream: stream.parse().ok()?, job: job(id) })
    }
}
