//! What is recorded against what LiveKit says, and repairs by ordinary changes, so that every client sees them.
//!
//! Webhooks are LiveKit's fastest messenger and an unreliable one. Now and then one instance, by a lease, asks LiveKit
//! for the rooms of all live streams and for everybody in them. Its lists are late too, so a repair names the time before
//! which what is recorded may be corrected. Every change carries the lease: an instance that was stopped in the middle and
//! wakes up after another has taken over changes nothing.
//!
//! An empty list is not believed at once. LiveKit that has just lost its memory, or a proxy in front of it that answers
//! for it, would otherwise end everything that is live.

mod compare;
mod missing;

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures_util::{TryStreamExt, stream};
use tokio::time::sleep;

use super::{Error, Orchestrator};
use crate::{
    domain::{Stream, StreamStatus, Timestamp},
    rooms::Room,
    store::{Lease, StoreError, StreamFilter},
};

/// How long an instance that is reconciling may be silent before another takes over.
const LEASE: Duration = Duration::from_secs(10);
/// How many streams are asked LiveKit about at a time.
const PAGE: usize = 500;
/// How many streams are compared at once: each takes one or two calls of LiveKit.
const CONCURRENCY: usize = 8;
/// From how many live streams on an empty list of LiveKit's has to be seen twice.
const MANY: usize = 2;

/// What one reconciliation did.
#[derive(Debug, Default)]
pub struct Report {
    /// LiveKit listed none of the rooms; that is believed only when it is seen again.
    pub held_back: bool,
    /// How many streams could not be compared, because LiveKit did not answer for their rooms.
    pub failed: u64,
    repairs: Repairs,
}

impl Report {
    /// Whether something has to be looked at again before the next reconciliation is due by itself.
    pub fn is_unfinished(&self) -> bool {
        self.held_back || self.repairs.undecided.load(Ordering::Relaxed) > 0
    }

    /// How many repairs there were.
    pub fn repairs(&self) -> u64 {
        self.repairs.counts().into_iter().map(|(_, count)| count).sum()
    }
}

/// Repairs by kind, counted by several comparisons at once.
#[derive(Debug, Default)]
struct Repairs {
    joined: AtomicU64,
    left: AtomicU64,
    updated: AtomicU64,
    stopped: AtomicU64,
    metadata: AtomicU64,
    room_deleted: AtomicU64,
    /// Differences that may not be decided yet: what is recorded is younger than LiveKit's lists may be.
    undecided: AtomicU64,
    /// Rooms whose settings are not those of their streams. LiveKit changes no settings, so this is no repair.
    other_settings: AtomicU64,
}

impl Repairs {
    fn counts(&self) -> [(&'static str, u64); 6] {
        [
            ("joined", &self.joined),
            ("left", &self.left),
            ("updated", &self.updated),
            ("stopped", &self.stopped),
            ("metadata", &self.metadata),
            ("room_deleted", &self.room_deleted),
        ]
        .map(|(kind, count)| (kind, count.load(Ordering::Relaxed)))
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A stream whose room LiveKit did not list, and what may be said of it.
struct Missing {
    stream: Stream,
    /// What was recorded since may be newer than the list.
    before: Timestamp,
    /// When an earlier list did not have the room either.
    since: Option<Timestamp>,
    /// Whether LiveKit lists another room of the same name: the stream's room is gone for certain.
    replaced: bool,
}

impl Orchestrator {
    /// Compares everything with LiveKit, unless another instance is doing so, or it was done less than `every` ago. None
    /// then.
    ///
    /// # Errors
    /// Those of the store and of LiveKit: while it does not answer, nothing is changed.
    pub async fn reconcile(&self, every: Duration) -> Result<Option<Report>, Error> {
        let Some(lease) = self.store.take_lease(LEASE, every).await? else { return Ok(None) };
        let timer = self.metrics.reconcile_duration.start_timer();
        let done = tokio::select! {
            done = self.compare_all(&lease) => done,
            lost = self.hold_lease(&lease) => Err(lost),
        };
        timer.observe_duration();
        let outcome = match &done {
            Ok(report) if report.held_back => "held_back",
            Ok(report) if report.failed > 0 => "failed",
            Ok(_) => "done",
            Err(Error::Store(StoreError::Fenced)) => "fenced",
            Err(_) => "failed",
        };
        self.metrics.reconciliations.with_label_values(&[outcome]).inc();
        // A difference that is too young, and a LiveKit that did not answer, are looked at again as soon as they can
        // be, whatever the interval.
        let unfinished = done.as_ref().map_or(true, Report::is_unfinished);
        let again = unfinished.then_some(self.policy.listing_grace);
        self.store.end_lease(&lease, again).await?;
        done.map(Some)
    }

    /// Prolongs the lease again and again; returns when it is lost. While the store does not answer it may still be had.
    async fn hold_lease(&self, lease: &Lease) -> Error {
        loop {
            sleep(LEASE / 3).await;
            match self.keep_lease(lease).await {
                Err(error @ Error::Store(StoreError::Fenced)) => return error,
                Err(error) => tracing::warn!(%error, "the lease could not be prolonged"),
                Ok(()) => {}
            }
        }
    }

    /// Prolongs the lease, or finds that it is lost: before LiveKit is told to do what cannot be fenced.
    pub(super) async fn keep_lease(&self, lease: &Lease) -> Result<(), Error> {
        if self.store.renew_lease(lease, LEASE).await? { Ok(()) } else { Err(StoreError::Fenced.into()) }
    }

    async fn compare_all(&self, lease: &Lease) -> Result<Report, Error> {
        let mut report = Report::default();
        let compared = self.compare_streams(lease, &mut report).await;
        // What lives is kept, whatever LiveKit says or does not say.
        let kept = self.keep_all().await;
        let other_settings = report.repairs.other_settings.load(Ordering::Relaxed);
        self.metrics.rooms_with_other_settings.set(i64::try_from(other_settings).unwrap_or(i64::MAX));
        for (kind, count) in report.repairs.counts() {
            self.metrics.repairs.with_label_values(&[kind]).inc_by(count);
        }
        compared?;
        kept?;
        let repairs = report.repairs();
        if repairs > 0 {
            tracing::warn!(repairs = ?report.repairs.counts(), "repaired differences from LiveKit: webhooks or an instance were lost");
        }
        Ok(report)
    }

    async fn compare_streams(&self, lease: &Lease, report: &mut Report) -> Result<(), Error> {
        self.rooms.ping().await?;
        let known_missing = self.store.missing().await?;
        let (mut missing, mut listed, mut after) = (Vec::new(), 0, None);
        loop {
            let before = self.store.now().await?.minus(self.policy.listing_grace);
            let active = StreamFilter::Status(StreamStatus::Active);
            let page = self.store.list(active, PAGE, after.as_deref()).await?;
            let names: Vec<_> = page.items.iter().map(|stream| stream.room_name.clone()).collect();
            let rooms = self.rooms.list(&names).await?;
            listed += rooms.len();
            let mut rooms: HashMap<_, _> = rooms.into_iter().map(|room| (room.name.clone(), room)).collect();
            let mut found = Vec::new();
            for stream in page.items.iter().map(|stream| (***stream).clone()) {
                match rooms.remove(stream.room_name.as_str()) {
                    Some(room) if is_room_of(&room, &stream) => found.push((stream, room)),
                    other => {
                        let since = known_missing.get(&stream.id).copied();
                        missing.push(Missing { stream, before, since, replaced: other.is_some() });
                    }
                }
            }
            self.remember_missing(&known_missing, &found, &missing).await?;
            let failed = AtomicU64::new(0);
            stream::iter(found.into_iter().map(Ok))
                .try_for_each_concurrent(CONCURRENCY, |(stream, room)| {
                    self.compare_or_skip(stream, room, before, lease, &report.repairs, &failed)
                })
                .await?;
            report.failed += failed.into_inner();
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        self.forget_ended(&known_missing, &missing).await?;
        if self.is_believable(listed, missing.len()).await? {
            self.stop_missing(missing, lease, &report.repairs).await?;
            let (deleted, failed) = self.delete_remnants(lease).await?;
            report.repairs.room_deleted.fetch_add(deleted, Ordering::Relaxed);
            report.failed += failed;
        } else {
            report.held_back = true;
        }
        Ok(())
    }

    /// Renews the time of what lives, and forgets what is no longer there.
    async fn keep_all(&self) -> Result<(), Error> {
        let mut after = None;
        loop {
            let kept = self.store.renew_and_prune(PAGE, after.as_deref()).await?;
            self.cleaned("renewed", kept.renewed);
            self.cleaned("forgotten", kept.removed);
            after = kept.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}

fn is_room_of(room: &Room, stream: &Stream) -> bool {
    room.name == stream.room_name.as_str() && stream.room_sid.as_ref() == Some(&room.sid)
}
