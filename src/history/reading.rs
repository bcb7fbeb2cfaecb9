//! What callers read and erase: permission first.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    error::HistoryError,
    records::{EventRecord, RowLimit, Rows, StreamRecord, StreamSelection, ViewerStep, WatchTimes},
    service::History,
};
use crate::{
    access::{Action, Caller},
    domain::{
        Cursor, ErrorCode, Identity, ParticipantSid, StreamId, Timestamp, Visit, size::MAX_MESSAGE_BYTES,
    },
};

/// Maximum number of points of a chart.
pub const MAX_POINTS: i64 = 10_000;
/// Number of points of a chart whose step the caller does not choose, at most.
const DEFAULT_POINTS: i64 = 500;
/// Steps of time that such a chart may have, in seconds: up to a day.
const DEFAULT_STEPS: [i64; 13] = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 21_600, 86_400];

/// Bounds of the recordings in a summary, which is a message with the metadata of the stream too.
const RECORDINGS: RowLimit = RowLimit { rows: 1_000, bytes: MAX_MESSAGE_BYTES / 2 };
/// Time that a read waits for the reads before it.
const WAIT: Duration = Duration::from_secs(5);

/// Error of a read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The caller lacks the grant.
    #[error("{}", .0.requirement())]
    Forbidden(Action),
    /// The history has no such stream, or the caller may not read it.
    #[error("the history has no such stream")]
    NotFound,
    /// The step is too short for the length of the stream.
    #[error("must be at least {least} ms: a chart has at most {MAX_POINTS} points")]
    StepTooShort {
        /// Shortest permitted step in milliseconds.
        least: i64,
    },
    /// What happened before the request is not stored yet.
    #[error("the history has not stored yet what happened before the request: repeat it")]
    Behind,
    /// Error of the database.
    #[error(transparent)]
    Database(#[from] HistoryError),
}

impl ReadError {
    /// Returns the code of the API's error table.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Forbidden(_) => ErrorCode::Forbidden,
            Self::NotFound => ErrorCode::StreamNotFound,
            Self::StepTooShort { .. } => ErrorCode::ValidationFailed,
            Self::Behind | Self::Database(HistoryError::Unavailable(_)) => ErrorCode::HistoryUnavailable,
            Self::Database(_) => ErrorCode::Internal,
        }
    }
}

/// A number of viewers, which is the greatest one from this time until the next point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Beginning of the step.
    pub time: Timestamp,
    /// Greatest number of viewers in the step.
    pub viewers: u32,
}

/// A stream and what it was.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamSummary {
    /// The stream.
    pub stream: StreamRecord,
    /// How long its persons were connected.
    pub times: WatchTimes,
    /// JSON of its recordings, oldest first.
    pub recordings: Rows<String>,
}

impl History {
    /// Returns a page of the streams that the caller may read, the newest first.
    ///
    /// # Errors
    /// [`ReadError::Forbidden`], or an error of the database.
    pub async fn streams(
        &self,
        caller: &Caller,
        mut selection: StreamSelection,
        before: Option<(Timestamp, StreamId)>,
        limit: RowLimit,
    ) -> Result<Rows<StreamRecord>, ReadError> {
        permit(caller)?;
        if let Some(room) = caller.only_room(Action::ReadHistory) {
            let selected = selection.room_name.get_or_insert_with(|| room.clone());
            if *selected != room {
                return Ok(Rows::empty());
            }
        }
        self.read(self.store.streams(&selection, before, limit)).await
    }

    /// Returns a stream.
    ///
    /// # Errors
    /// [`ReadError::Forbidden`], [`ReadError::NotFound`], or an error of the database.
    pub async fn stream(&self, caller: &Caller, id: &str) -> Result<StreamRecord, ReadError> {
        permit(caller)?;
        let id = id.parse().map_err(|_| ReadError::NotFound)?;
        let record = self.read(self.store.stream(id)).await?.ok_or(ReadError::NotFound)?;
        let is_allowed = caller.is_allowed_in(Action::ReadHistory, &record.room_name);
        is_allowed.then_some(record).ok_or(ReadError::NotFound)
    }

    /// Returns a stream with its watch times and its first recordings.
    ///
    /// # Errors
    /// As [`Self::stream`].
    pub async fn summary(&self, caller: &Caller, id: &str) -> Result<StreamSummary, ReadError> {
        let stream = self.stream(caller, id).await?;
        let times = self.read(self.store.watch_times(stream.id)).await?;
        let recordings = self.read(self.store.recordings(stream.id, RECORDINGS)).await?;
        Ok(StreamSummary { stream, times, recordings })
    }

    /// Returns a page of the visits of a stream, in the order of the connections.
    ///
    /// # Errors
    /// As [`Self::stream`].
    pub async fn visits(
        &self,
        caller: &Caller,
        id: &str,
        after: Option<(Timestamp, ParticipantSid)>,
        limit: RowLimit,
    ) -> Result<Rows<Visit>, ReadError> {
        let record = self.stream(caller, id).await?;
        self.read(self.store.visits(record.id, after, limit)).await
    }

    /// Returns a page of the events of a stream, which [`Self::stream`] has returned.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn events(
        &self,
        stream: &StreamRecord,
        after: Cursor,
        limit: RowLimit,
    ) -> Result<Rows<EventRecord>, ReadError> {
        self.read(self.store.events(stream.id, after, limit)).await
    }

    /// Returns the numbers of viewers of a stream over time, from its creation to its end or its newest event.
    ///
    /// # Errors
    /// As [`Self::stream`]; [`ReadError::StepTooShort`].
    pub async fn viewers(
        &self,
        caller: &Caller,
        id: &str,
        step: Option<Duration>,
    ) -> Result<Vec<Point>, ReadError> {
        let record = self.stream(caller, id).await?;
        let (from, to) =
            (record.created_at.as_millis(), newest_time(&record).max(record.created_at.as_millis()));
        let step = match step {
            Some(step) => i64::try_from(step.as_millis()).unwrap_or(i64::MAX),
            None => default_step(to - from),
        };
        // Steps begin at multiples of their length.
        let start = from.div_euclid(step) * step;
        let count = (to - start) / step + 1;
        if count > MAX_POINTS {
            return Err(ReadError::StepTooShort { least: (to - from) / (MAX_POINTS - 1) + 1 });
        }
        let steps = self.store.viewer_steps(record.id, Timestamp::from_millis(start), step);
        Ok(points(&self.read(steps).await?, start, step, count))
    }

    /// Erases a person from every stream of the history, also from what is not stored yet at the time of the call. What
    /// happens later may name the person again.
    ///
    /// # Errors
    /// [`ReadError::Forbidden`]. After [`ReadError::Behind`] or an error of the database the call can be repeated.
    pub async fn erase(&self, caller: &Caller, identity: &Identity) -> Result<(), ReadError> {
        if !caller.is_allowed(Action::ErasePerson) {
            return Err(ReadError::Forbidden(Action::ErasePerson));
        }
        let has_caught_up = self.catch_up().await;
        // Also if the archivers are behind: what is stored need not wait for them.
        while self.read(self.store.erase(identity)).await? {}
        if has_caught_up { Ok(()) } else { Err(ReadError::Behind) }
    }

    /// Runs a read beside a bounded number of others, so that the archivers always have connections.
    pub(super) async fn read<T>(
        &self,
        read: impl Future<Output = Result<T, HistoryError>>,
    ) -> Result<T, ReadError> {
        let unavailable = |reason: &str| HistoryError::Unavailable(reason.to_owned());
        if !self.is_prepared() {
            return Err(unavailable("its schema is not checked yet").into());
        }
        let permit = timeout(WAIT, self.reads.acquire()).await;
        let _permit = permit.map_err(|_| unavailable("too many reads at once"))?;
        Ok(read.await?)
    }
}

fn permit(caller: &Caller) -> Result<(), ReadError> {
    let action = Action::ReadHistory;
    if caller.is_allowed(action) { Ok(()) } else { Err(ReadError::Forbidden(action)) }
}

/// Returns the time of the last thing that is known of a stream.
fn newest_time(record: &StreamRecord) -> i64 {
    let newest = i64::try_from(record.newest.millis()).unwrap_or(i64::MAX);
    record.stopped_at.map_or(newest, Timestamp::as_millis)
}

fn default_step(length_ms: i64) -> i64 {
    let fits = |seconds: &i64| length_ms / (seconds * 1_000) < DEFAULT_POINTS;
    DEFAULT_STEPS.into_iter().find(fits).unwrap_or(DEFAULT_STEPS[DEFAULT_STEPS.len() - 1]) * 1_000
}

/// Returns the points of all steps. A step begins with the last number of the step before.
fn points(steps: &[ViewerStep], start: i64, step: i64, count: i64) -> Vec<Point> {
    let (mut steps, mut last) = (steps.iter().peekable(), 0);
    let point = |number: i64| {
        let mut viewers = last;
        while let Some(told) = steps.next_if(|told| told.number <= number) {
            viewers = viewers.max(told.most);
            last = told.last;
        }
        Point { time: Timestamp::from_millis(start + number * step), viewers }
    };
    (0..count).map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_without_events_has_the_last_number_of_viewers() {
        let told = |number, most, last| ViewerStep { number, most, last };
        let points = points(&[told(0, 3, 1), told(2, 1, 0), told(4, 5, 5)], 1_000, 10, 6);
        assert_eq!(points.iter().map(|point| point.viewers).collect::<Vec<_>>(), [3, 1, 1, 0, 5, 5]);
        assert_eq!(points[5].time, Timestamp::from_millis(1_050));
    }

    #[test]
    fn default_step_gives_at_most_501_points() {
        for length in [0, 1, 499_999, 500_000, 3_600_000, 86_400_000, 30 * 86_400_000] {
            assert!(length / default_step(length) <= DEFAULT_POINTS, "{length}");
        }
        assert_eq!((default_step(0), default_step(3_600_000)), (1_000, 10_000));
    }
}
