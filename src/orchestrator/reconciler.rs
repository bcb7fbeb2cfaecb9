//! What is recorded against what LiveKit says, and repairs by ordinary changes, so that every client sees them.
//!
//! Webhooks are LiveKit's fastest messenger and an unreliable one. Now and then one instance, by a lease, asks LiveKit
//! for the rooms of all live streams and for everybody in them. Its lists are late too, so a repair names the time before
//! which what is recorded may be corrected. Every change carries the lease: an instance that was stopped in the middle and
//! wakes up after another has taken over changes nothing.
//!
//! An empty list is not believed at once. LiveKit that has just lost its memory, or a proxy in front of it that answers
//! for it, would otherwise end everything that is live.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures_util::{TryStreamExt, stream};
use tokio::time::sleep;

use super::{Error, Orchestrator};
use crate::{
    domain::{
        Change, Participant, ParticipantState, RoomName, Session, StopReason, Stream, StreamStatus,
        Timestamp, change::Effect,
    },
    rooms::{Occupants, Room},
    store::{Guard, Lease, StoreError, StreamFilter},
};

/// How long an instance that is reconciling may be silent before another takes over.
const LEASE: Duration = Duration::from_secs(10);
/// How many streams are asked LiveKit about at a time.
const PAGE: usize = 500;
/// How many participants of a stream are read at a time.
const PARTICIPANTS_PAGE: usize = 1_000;
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
    before: Timestamp,
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
        // Also after a failure: the next try is due at the next interval, whoever makes it.
        self.store.end_lease(&lease).await?;
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
        for (kind, count) in report.repairs.counts() {
            self.metrics.repairs.with_label_values(&[kind]).inc_by(count);
        }
        compared?;
        kept?;
        let repairs = report.repairs();
        if repairs > 0 {
            tracing::warn!(repairs = ?report.repairs.counts(), "LiveKit knew better: webhooks were lost, or an instance was");
        }
        Ok(report)
    }

    async fn compare_streams(&self, lease: &Lease, report: &mut Report) -> Result<(), Error> {
        self.rooms.ping().await?;
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
                match rooms.remove(stream.room_name.as_str()).filter(|room| is_room_of(room, &stream)) {
                    Some(room) => found.push((stream, room)),
                    None => missing.push(Missing { stream, before }),
                }
            }
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

    /// Whether what LiveKit listed can be acted on: not if it lists nothing while many streams are live, unless it did so
    /// before.
    async fn is_believable(&self, listed: usize, missing: usize) -> Result<bool, Error> {
        if listed > 0 || missing < MANY {
            self.store.trust().await?;
            return Ok(true);
        }
        let again = self.store.suspect(self.policy.reconcile_interval / 2).await?;
        if !again {
            tracing::warn!(
                streams = missing,
                "LiveKit lists none of the rooms; nothing is stopped unless it says so again"
            );
        }
        Ok(again)
    }

    /// One room for which LiveKit does not answer, as when its node has died, or one entry that cannot be read, keeps nobody
    /// else from the truth.
    async fn compare_or_skip(
        &self,
        stream: Stream,
        room: Room,
        before: Timestamp,
        lease: &Lease,
        repairs: &Repairs,
        failed: &AtomicU64,
    ) -> Result<(), Error> {
        let id = stream.id;
        match self.compare(stream, room, before, lease, repairs).await {
            Err(error @ (Error::Rooms(_) | Error::Store(StoreError::Corrupt(_)))) => {
                tracing::warn!(stream = %id, %error, "a stream could not be compared with its room");
                count(failed);
                Ok(())
            }
            other => other,
        }
    }

    /// Compares one stream with its room.
    async fn compare(
        &self,
        stream: Stream,
        room: Room,
        before: Timestamp,
        lease: &Lease,
        repairs: &Repairs,
    ) -> Result<(), Error> {
        if room.metadata != stream.metadata.as_text() {
            self.repair_metadata(&stream, &room, repairs).await?;
        }
        if room.participants == 0 && stream.participant_count == 0 {
            return Ok(());
        }
        // Gone or replaced since the rooms were listed: the next reconciliation sees it among the missing.
        let occupants = self.rooms.occupants(&stream.room_name).await?;
        let same_room = |occupants: &Occupants| stream.room_sid.as_ref() == Some(&occupants.room_sid);
        let Some(occupants) = occupants.filter(same_room) else { return Ok(()) };
        let mut known = self.present(&stream).await?;
        for session in occupants.sessions {
            let recorded = known.remove(session.identity.as_str());
            if recorded.as_ref().is_some_and(|recorded| says_the_same(recorded, &session)) {
                continue;
            }
            let same = recorded.is_some_and(|recorded| recorded.sid.as_ref() == Some(&session.sid));
            let counter = if same { &repairs.updated } else { &repairs.joined };
            if self.repair(&stream, Change::Observe { session, before }, lease).await? {
                count(counter);
            }
        }
        for (_, gone) in known {
            let Some(sid) = gone.sid.filter(|sid| !occupants.unsettled.contains(sid)) else { continue };
            let change = Change::Lose { identity: gone.identity, sid, before };
            if self.repair(&stream, change, lease).await? {
                count(&repairs.left);
            }
        }
        Ok(())
    }

    /// A change of metadata that LiveKit never heard of. What is recorded is looked up again: it may have been changed
    /// since the streams were listed.
    async fn repair_metadata(&self, stream: &Stream, room: &Room, repairs: &Repairs) -> Result<(), Error> {
        let current = self.store.get(stream.id).await?;
        // One that was changed since is on its way to LiveKit.
        let overdue = |current: &Stream| {
            current.metadata == stream.metadata && room.metadata != current.metadata.as_text()
        };
        if let Some(current) = current.filter(overdue) {
            count(&repairs.metadata);
            self.mirror_metadata(&current).await;
        }
        Ok(())
    }

    /// Everybody who is recorded as connected, by identity.
    async fn present(&self, stream: &Stream) -> Result<HashMap<String, Participant>, Error> {
        let (mut all, mut after) = (HashMap::new(), None);
        loop {
            let active = Some(ParticipantState::Active);
            let page = self.store.participants(stream.id, active, PARTICIPANTS_PAGE, after.as_deref()).await;
            let page = match page {
                // It has ended in the meantime.
                Err(StoreError::NotFound) => return Ok(all),
                other => other?,
            };
            all.extend(page.items.into_iter().map(|one| (one.identity.to_string(), one)));
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    /// Makes one change; says whether it had to be made.
    async fn repair(&self, stream: &Stream, change: Change, lease: &Lease) -> Result<bool, Error> {
        let guard = Guard { lease: Some(lease.clone()), ..Guard::default() };
        match self.store.apply(&stream.reference(), change, guard).await {
            Ok(applied) => Ok(applied.effect == Effect::Changed),
            // It has ended in the meantime.
            Err(StoreError::NotFound | StoreError::Rejected(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Stops the streams whose rooms are gone. Each is asked about once more: it may be that only the list was late.
    async fn stop_missing(
        &self,
        missing: Vec<Missing>,
        lease: &Lease,
        repairs: &Repairs,
    ) -> Result<(), Error> {
        let old = |missing: &Missing| missing.stream.started_at.is_some_and(|at| at < missing.before);
        let missing: Vec<_> = missing.into_iter().filter(old).collect();
        for page in missing.chunks(PAGE) {
            let names: Vec<RoomName> = page.iter().map(|missing| missing.stream.room_name.clone()).collect();
            let rooms = self.rooms.list(&names).await?;
            for Missing { stream, .. } in page {
                if rooms.iter().any(|room| is_room_of(room, stream)) {
                    continue;
                }
                self.keep_lease(lease).await?;
                let begin =
                    Change::BeginStop { reason: StopReason::RoomGone, room_sid: stream.room_sid.clone() };
                let guard = Guard { lease: Some(lease.clone()), ..Guard::default() };
                match self.stop_by(stream, begin, guard).await {
                    Ok(stopped) if stopped.status == StreamStatus::Stopped => {
                        tracing::warn!(stream = %stream.id, "stopped: LiveKit no longer has its room");
                        count(&repairs.stopped);
                    }
                    // Somebody else is at it, or it can be finished when LiveKit answers again.
                    Ok(_) | Err(Error::Store(StoreError::NotFound | StoreError::Rejected(_))) => {}
                    Err(Error::Rooms(error)) => {
                        tracing::warn!(stream = %stream.id, %error, "a stream without a room could not be stopped yet");
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Renews the time of what lives, and forgets what is no longer there.
    async fn keep_all(&self) -> Result<(), Error> {
        let mut after = None;
        loop {
            let kept = self.store.keep(PAGE, after.as_deref()).await?;
            self.cleaned("renewed", kept.renewed);
            self.cleaned("forgotten", kept.dropped);
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

/// Whether there is nothing to repair about somebody.
fn says_the_same(recorded: &Participant, session: &Session) -> bool {
    recorded.sid.as_ref() == Some(&session.sid)
        && recorded.tracks == session.tracks
        && session.name.as_ref().is_none_or(|name| recorded.name.as_ref() == Some(name))
        && session.role.is_none_or(|role| recorded.role == role)
        && session.metadata.as_ref().is_none_or(|metadata| recorded.metadata == *metadata)
}
