//! Snapshot of all streams: pages of the live streams, brought to one cursor by the log of all streams.
//!
//! No read holds the store for long, and the result is still exactly as of one cursor:
//!
//! 1. The newest cursor is noted.
//! 2. The live streams are read in pages while changes go on. Each stream is as of its own version.
//! 3. The log is read from the noted cursor to its end. An event with a greater `seq` than its stream's version is
//!    applied to the stream; a stream that is missing is added, and one that is stopped is removed.
//!
//! The result is as of the last event that the log had. The reading begins again if the log no longer holds the noted
//! cursor, or if it does not hold a cursor that a page has seen. The latter proves that the pages show changes that a
//! failover has lost.

use std::collections::{HashMap, HashSet};

use super::{EventFeed, LivePage, LogRead, Snapshot, SnapshotContent, StoreError, snapshot_of_stream};
use crate::domain::{Cursor, Event, Metadata, Stream, StreamId, StreamStatus, Topic};

/// Number of times that a reading may begin.
const ATTEMPTS: usize = 5;
/// Maximum events in one page of the log.
const LOG_PAGE: usize = 250;

/// Reads the state of a topic as of one cursor. The state of all streams costs a read of every live stream.
///
/// # Errors
/// Those of [`snapshot_of_stream::read`] and of [`of_all`].
pub async fn of<F: EventFeed + ?Sized>(feed: &F, topic: Topic) -> Result<Snapshot, StoreError> {
    match topic {
        Topic::Stream(id) => snapshot_of_stream::read(feed, id).await,
        Topic::All => of_all(feed).await,
    }
}

/// Reads all streams that are not stopped, newest first, as of one cursor.
///
/// # Errors
/// [`StoreError::Unavailable`] if the store does not answer, or if every attempt found a log that does not continue the
/// pages. [`StoreError::Corrupt`] for a stream that cannot be parsed.
pub async fn of_all<F: EventFeed + ?Sized>(feed: &F) -> Result<Snapshot, StoreError> {
    for _ in 0..ATTEMPTS {
        if let Some(snapshot) = Reading::begin(feed).await?.finish(feed).await? {
            return Ok(snapshot);
        }
    }
    Err(StoreError::Unavailable("the log of all streams does not continue a snapshot of them".to_owned()))
}

/// A snapshot that is being read.
struct Reading {
    /// The log is applied up to this cursor.
    cursor: Cursor,
    streams: HashMap<StreamId, Stream>,
    /// Cursors that the pages have seen and that the log has not shown yet.
    unconfirmed: HashSet<Cursor>,
}

impl Reading {
    /// Notes the newest cursor and reads the pages.
    async fn begin<F: EventFeed + ?Sized>(feed: &F) -> Result<Self, StoreError> {
        let cursor = feed.tails(&[Topic::All]).await?.first().copied().unwrap_or(Cursor::ORIGIN);
        let mut reading = Self { cursor, streams: HashMap::new(), unconfirmed: HashSet::new() };
        let mut next = None;
        loop {
            let page = feed.live_streams(next.as_deref()).await?;
            next.clone_from(&page.next);
            reading.add(page);
            if next.is_none() {
                return Ok(reading);
            }
        }
    }

    fn add(&mut self, page: LivePage) {
        // An earlier cursor is that of a partition without an event since the noted one.
        self.unconfirmed.extend(page.tails.into_iter().filter(|tail| *tail > self.cursor));
        // A stream may have stopped between the reads of its list entry and of its state.
        let live = page.streams.into_iter().filter(|stream| stream.status != StreamStatus::Stopped);
        self.streams.extend(live.map(|stream| (stream.id, stream)));
    }

    /// Applies the log to its end; returns `None` if the log does not continue the pages.
    async fn finish<F: EventFeed + ?Sized>(mut self, feed: &F) -> Result<Option<Snapshot>, StoreError> {
        loop {
            match feed.read_after(Topic::All, self.cursor, LOG_PAGE).await? {
                LogRead::Reset(_) => return Ok(None),
                LogRead::Events { events, complete } => {
                    events.iter().for_each(|event| self.apply(event));
                    if complete {
                        return Ok(self.unconfirmed.is_empty().then(|| self.into_snapshot()));
                    }
                }
            }
        }
    }

    fn apply(&mut self, event: &Event) {
        self.cursor = event.cursor;
        self.unconfirmed.remove(&event.cursor);
        let (id, stream) = (event.stream_id(), &event.draft.stream);
        match self.streams.get_mut(&id) {
            Some(known) if known.version >= event.seq() => {}
            _ if stream.status == StreamStatus::Stopped => {
                self.streams.remove(&id);
            }
            Some(known) => event.apply_to(known),
            // A created stream has its metadata. One that has stopped before its page was read is removed later.
            None => {
                self.streams.insert(id, stream.clone().with_metadata(Metadata::default()));
            }
        }
    }

    fn into_snapshot(self) -> Snapshot {
        let mut streams: Vec<_> = self.streams.into_values().collect();
        streams.sort_unstable_by_key(|stream| std::cmp::Reverse((stream.created_at, stream.id)));
        Snapshot { cursor: self.cursor, content: SnapshotContent::All(streams) }
    }
}
