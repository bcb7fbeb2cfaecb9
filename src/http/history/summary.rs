//! One stream of the history with its figures and its recordings.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::responses::Stream;
use crate::{history::StreamSummary, http::schemas};

/// A stream of the history with what its participants' ended visits add up to, and its recordings. Agents are not part
/// of the numbers.
#[derive(Serialize, ToSchema)]
#[schema(as = HistoryStreamSummary)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    #[serde(flatten)]
    stream: Stream,
    /// Number of different identities of viewers.
    unique_viewers: u64,
    /// Seconds of all visits of viewers together.
    total_watch_seconds: u64,
    /// Median over the viewers of the seconds that each of them has watched in all its visits.
    median_watch_seconds: u64,
    /// Number of different identities of hosts.
    unique_hosts: u64,
    /// Seconds of all visits of hosts together.
    total_host_seconds: u64,
    /// Recordings in their last known states, oldest first: as in events, without `location`.
    #[schema(value_type = Vec<schemas::Recording>)]
    recordings: Vec<Box<RawValue>>,
    /// True if the stream has more recordings than the document; absent otherwise.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    recordings_truncated: Option<bool>,
}

impl Summary {
    /// Returns `None` if the stored text of a recording is no JSON.
    pub(super) fn of(StreamSummary { stream, times, recordings }: StreamSummary) -> Option<Self> {
        let recordings_truncated = recordings.has_more.then_some(true);
        let recordings = recordings.rows.into_iter().map(RawValue::from_string).collect::<Result<_, _>>();
        Some(Self {
            stream: stream.into(),
            unique_viewers: times.viewers.persons,
            total_watch_seconds: times.viewers.total.as_secs(),
            median_watch_seconds: times.viewers.median.as_secs(),
            unique_hosts: times.hosts.persons,
            total_host_seconds: times.hosts.total.as_secs(),
            recordings: recordings.ok()?,
            recordings_truncated,
        })
    }
}
