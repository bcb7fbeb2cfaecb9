//! Comparison of all streams with LiveKit's rooms.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use futures_util::{TryStreamExt, stream};

use super::{
    missing::{MissingRoom, is_room_of},
    report::{Repairs, Report},
    service::{PAGE, Reconciler},
};
use crate::{
    domain::{Stream, StreamId, StreamStatus, Timestamp},
    orchestrator::error::Error,
    rooms::Room,
    store::{Lease, SharedState, StreamFilter},
};

/// Maximum concurrent comparisons, each of which takes one or two LiveKit calls.
const CONCURRENCY: usize = 8;

/// One page of active streams, matched with LiveKit's list of their rooms.
struct ListedPage {
    /// Streams whose rooms are listed.
    found: Vec<(Stream, Room)>,
    /// Streams whose rooms are not listed.
    missing: Vec<MissingRoom>,
    /// Number of listed rooms.
    listed: usize,
    /// Records after this time may be newer than the list.
    before: Timestamp,
    /// Start position of the next page; `None` after the last page.
    next: Option<String>,
}

impl Reconciler {
    /// Compares all streams, renews TTLs, and counts repairs.
    ///
    /// # Errors
    /// Errors of the store and of LiveKit. TTLs are renewed even if LiveKit does not answer.
    pub(super) async fn compare_all(&self, lease: &Lease) -> Result<Report, Error> {
        let mut report = Report::default();
        let compared = self.compare_streams(lease, &mut report).await;
        let pruned = self.renew_and_prune_all().await;
        self.count_repairs(&report.repairs);
        compared?;
        pruned?;
        if report.repairs() > 0 {
            tracing::warn!(
                repairs = ?report.repairs.counts(),
                "repaired differences from LiveKit: webhooks were lost, or an instance ended"
            );
        }
        Ok(report)
    }

    fn count_repairs(&self, repairs: &Repairs) {
        let other_settings = repairs.other_settings.load(Ordering::Relaxed);
        self.metrics.rooms_with_other_settings.set(i64::try_from(other_settings).unwrap_or(i64::MAX));
        for (kind, count) in repairs.counts() {
            self.metrics.repairs.with_label_values(&[kind]).inc_by(count);
        }
    }

    /// Compares the active streams page by page, then ends streams without rooms and deletes orphaned rooms.
    async fn compare_streams(&self, lease: &Lease, report: &mut Report) -> Result<(), Error> {
        self.rooms.ping().await?;
        let media = self.list_media(report).await?;
        let known_missing = self.store.missing().await?;
        let (mut missing, mut listed, mut after) = (Vec::new(), 0, None);
        loop {
            let page = self.list_page(after.as_deref(), &known_missing).await?;
            listed += page.listed;
            missing.extend(page.missing);
            self.remember_missing(&known_missing, &page.found, &missing).await?;
            let with_media = media.concerning(page.found.iter().map(|(stream, _)| stream));
            self.compare_page(page.found, page.before, lease, report).await?;
            self.compare_media(&with_media, &media, lease, report).await?;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        self.forget_ended(&known_missing, &missing).await?;
        if !self.confirm_listing(listed, missing.len()).await? {
            report.held_back = true;
            return Ok(());
        }
        self.stop_missing(missing, lease, &report.repairs).await?;
        self.end_orphaned_media(&media, lease, report).await?;
        let (deleted, failed) = self.delete_orphaned_rooms(lease).await?;
        report.repairs.room_deleted.fetch_add(deleted, Ordering::Relaxed);
        report.failed += failed;
        Ok(())
    }

    /// Reads one page of active streams and lists their rooms.
    async fn list_page(
        &self,
        after: Option<&str>,
        known_missing: &HashMap<StreamId, Timestamp>,
    ) -> Result<ListedPage, Error> {
        let before = self.store.now().await?.minus(self.policy.listing_grace);
        let active = StreamFilter::Status(StreamStatus::Active);
        let page = self.store.list(active, PAGE, after).await?;
        let names: Vec<_> = page.items.iter().map(|stream| stream.room_name.clone()).collect();
        let rooms = self.rooms.list(&names).await?;
        let listed = rooms.len();
        let (found, missing) = match_rooms(&page.items, rooms, before, known_missing);
        Ok(ListedPage { found, missing, listed, before, next: page.next })
    }

    /// Compares the streams of one page with their rooms, several at a time.
    async fn compare_page(
        &self,
        found: Vec<(Stream, Room)>,
        before: Timestamp,
        lease: &Lease,
        report: &mut Report,
    ) -> Result<(), Error> {
        let failed = AtomicU64::new(0);
        stream::iter(found.into_iter().map(Ok))
            .try_for_each_concurrent(CONCURRENCY, |(stream, room)| {
                self.compare_or_skip(stream, room, before, lease, &report.repairs, &failed)
            })
            .await?;
        report.failed += failed.into_inner();
        Ok(())
    }

    /// Renews the TTLs of all live streams, and removes expired streams from the lists.
    async fn renew_and_prune_all(&self) -> Result<(), Error> {
        let mut after = None;
        loop {
            let pruned = self.store.renew_and_prune(PAGE, after.as_deref()).await?;
            self.orchestrator.count_cleanup("renewed", pruned.renewed);
            self.orchestrator.count_cleanup("forgotten", pruned.removed);
            after = pruned.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}

/// Separates streams whose rooms are listed from those whose rooms are missing.
fn match_rooms(
    streams: &[SharedState<Stream>],
    rooms: Vec<Room>,
    before: Timestamp,
    known_missing: &HashMap<StreamId, Timestamp>,
) -> (Vec<(Stream, Room)>, Vec<MissingRoom>) {
    let mut rooms: HashMap<_, _> = rooms.into_iter().map(|room| (room.name.clone(), room)).collect();
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for stream in streams.iter().map(|stream| (***stream).clone()) {
        match rooms.remove(stream.room_name.as_str()) {
            Some(room) if is_room_of(&room, &stream) => found.push((stream, room)),
            other => {
                let since = known_missing.get(&stream.id).copied();
                missing.push(MissingRoom { stream, before, since, replaced: other.is_some() });
            }
        }
    }
    (found, missing)
}
