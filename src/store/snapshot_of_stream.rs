//! Snapshot of one stream with all participants that a reset carries: pages, brought to one cursor by the stream's log.
//!
//! A document ends after 1 MiB, a reset does not. The reading begins with the document. Further pages of participants
//! are read while changes go on, each as of a cursor of its own. If these cursors differ, the events after the document's
//! cursor are applied: each carries its participant as of itself, so the last event of a participant replaces what a page
//! has shown. In a counted stream, only the participants on stage have events and are in the snapshot; they are first in the
//! order. The reading begins again if the log does not hold every cursor that a page has shown, because that page is
//! from a history that a failover has lost.

use std::collections::{HashMap, HashSet};

use super::{
    EventFeed, LogRead, ParticipantsPage, SharedState, Snapshot, SnapshotContent, StateWithJson, StoreError,
};
use crate::domain::{
    Audience, Cursor, Event, Identity, Participant, StreamId, StreamView, Topic,
    stream::MAX_LISTED_PARTICIPANTS,
};

/// Number of times that a reading may begin.
const ATTEMPTS: usize = 5;
/// Maximum events in one page of the log.
const LOG_PAGE: usize = 250;

/// Reads a stream and its first [`MAX_LISTED_PARTICIPANTS`], all as of one cursor.
///
/// # Errors
/// [`StoreError::Unavailable`] if the store does not answer, or if every attempt found a log that does not continue the
/// pages. [`StoreError::Corrupt`] for a state that cannot be parsed.
pub async fn read<F: EventFeed + ?Sized>(feed: &F, id: StreamId) -> Result<Snapshot, StoreError> {
    for _ in 0..ATTEMPTS {
        let document = feed.stream_snapshot(id).await?;
        let SnapshotContent::Stream(Some(view)) = &document.content else { return Ok(document) };
        if !view.participants_truncated || view.participants.len() >= MAX_LISTED_PARTICIPANTS {
            return Ok(document);
        }
        let mut reading = Reading::of(view);
        match reading.read_pages(feed).await {
            // The next attempt finds out whether the stream has expired.
            Err(StoreError::NotFound) => continue,
            read => read?,
        }
        if reading.apply_log(feed).await? {
            return Ok(reading.into_snapshot());
        }
    }
    Err(StoreError::Unavailable("the log of a stream does not continue a snapshot of it".to_owned()))
}

/// A snapshot that is being read.
struct Reading {
    /// The stream without participants. The log is applied up to its cursor.
    view: StreamView,
    participants: HashMap<Identity, Participant>,
    /// List key of the last participant that was read; `None` if there are no further ones.
    end: Option<String>,
    /// True if all participants on stage are read.
    is_past_stage: bool,
    /// Cursors that the pages have shown and that the log has not shown yet.
    unconfirmed: HashSet<Cursor>,
}

impl Reading {
    fn of(view: &SharedState<StreamView>) -> Self {
        let StreamView { stream, participants, participants_truncated, cursor } = &***view;
        let entry = |participant: &Participant| (participant.identity.clone(), participant.clone());
        let (stream, cursor) = (stream.clone(), *cursor);
        Self {
            view: StreamView {
                stream,
                participants: Vec::new(),
                participants_truncated: *participants_truncated,
                cursor,
            },
            participants: participants.iter().map(entry).collect(),
            end: participants.last().map(Participant::list_key),
            is_past_stage: participants.last().is_some_and(|last| !last.is_on_stage()),
            unconfirmed: HashSet::new(),
        }
    }

    /// Reads the participants after those of the document.
    async fn read_pages<F: EventFeed + ?Sized>(&mut self, feed: &F) -> Result<(), StoreError> {
        while self.participants.len() < MAX_LISTED_PARTICIPANTS {
            let missing = MAX_LISTED_PARTICIPANTS - self.participants.len();
            let id = self.view.stream.id;
            let ParticipantsPage { participants, cursor, next } =
                feed.participants_page(id, self.end.as_deref(), missing).await?;
            if cursor != self.view.cursor {
                self.unconfirmed.insert(cursor);
            }
            self.is_past_stage |= participants.last().is_some_and(|last| !last.is_on_stage());
            self.participants.extend(participants.into_iter().map(|entry| (entry.identity.clone(), entry)));
            self.end = next;
            if self.end.is_none() || (self.is_past_stage && self.is_counted()) {
                break;
            }
        }
        Ok(())
    }

    /// Applies the log to its end if a page is newer than the document; returns false if the log does not continue the
    /// pages.
    async fn apply_log<F: EventFeed + ?Sized>(&mut self, feed: &F) -> Result<bool, StoreError> {
        while !self.unconfirmed.is_empty() {
            match feed.read_after(Topic::Stream(self.view.stream.id), self.view.cursor, LOG_PAGE).await? {
                LogRead::Reset(_) => return Ok(false),
                LogRead::Events { events, complete } => {
                    events.iter().for_each(|event| self.apply(event));
                    if complete {
                        return Ok(self.unconfirmed.is_empty());
                    }
                }
            }
        }
        Ok(true)
    }

    fn apply(&mut self, event: &Event) {
        self.view.cursor = event.cursor;
        self.unconfirmed.remove(&event.cursor);
        event.apply_to(&mut self.view.stream);
        let Some(participant) = &event.draft.participant else { return };
        if event.draft.removed || !participant.is_listed() {
            self.participants.remove(&participant.identity);
        } else {
            self.participants.insert(participant.identity.clone(), participant.clone());
        }
    }

    fn is_counted(&self) -> bool {
        self.view.stream.audience == Audience::Counted
    }

    fn into_snapshot(self) -> Snapshot {
        let is_counted = self.is_counted();
        let Self { mut view, participants, end, is_past_stage, .. } = self;
        let end = end.filter(|_| !(is_counted && is_past_stage));
        view.participants = participants.into_values().collect();
        view.participants.retain(|entry| !is_counted || entry.is_on_stage());
        // Behind the last entry that was read, only those that have changed meanwhile are known.
        view.participants.retain(|entry| end.as_ref().is_none_or(|end| entry.list_key() <= *end));
        view.participants.sort_by_cached_key(Participant::list_key);
        view.participants_truncated = end.is_some() || view.participants.len() > MAX_LISTED_PARTICIPANTS;
        view.participants.truncate(MAX_LISTED_PARTICIPANTS);
        let cursor = view.cursor;
        Snapshot { cursor, content: SnapshotContent::Stream(Some(StateWithJson::shared(view))) }
    }
}
