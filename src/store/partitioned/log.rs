//! The log of all streams, merged from the logs of all partitions.
//!
//! A cursor of this log was issued by one partition, whose log must hold it or have trimmed it. The logs of the other
//! partitions must only hold everything after it. Events after the watermark are in no page, because an earlier one may
//! still come from another partition.

use std::{sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use tokio::time::sleep;

use super::{
    PartitionBackend, PartitionedStore,
    clocks::end_of,
    history::{Positions, is_changed},
    pages::{EventPage, merge_events},
};
use crate::{
    domain::{Cursor, Event, Topic},
    store::{
        ClockReading, LOG_PAGE_BYTES, LivePage, LogRead, PAGE_BYTES, PageRequest, ResetReason, StoreError,
        log::{LogFacts, reset_reason},
    },
};

/// Readings of the clocks that must reach a floor. A partition that refuses writes reaches it when its own clock does.
const RAISE_ATTEMPTS: usize = 5;
/// Time between two of these readings.
const RAISE_INTERVAL: Duration = Duration::from_millis(2);

/// The state of the merged log at a moment.
pub(super) struct Settled {
    /// No event at or before this position will be added.
    watermark: Cursor,
    /// Newest event at or before the watermark.
    pub(super) tail: Cursor,
    /// Newest event of any partition.
    newest: Cursor,
    /// Clients do not resume from an earlier cursor, because a partition has lost events.
    lost_until: Cursor,
}

impl<P: PartitionBackend> PartitionedStore<P> {
    /// Raises the clocks of all partitions to a floor, and reads them.
    pub(super) async fn advance_clocks(
        &self,
        floor: u64,
        finds_event: bool,
    ) -> Result<Vec<ClockReading>, StoreError> {
        let readings = self.partitions().iter().map(|partition| partition.advance_clock(floor, finds_event));
        let readings = try_join_all(readings).await?;
        readings.iter().for_each(|reading| self.clocks.record(reading));
        Ok(readings)
    }

    /// Reads the clocks once all of them have reached a floor, with the newest event before it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if a partition that refuses writes has a clock behind the others.
    async fn raise_clocks(&self, floor: u64) -> Result<Vec<ClockReading>, StoreError> {
        for _ in 0..RAISE_ATTEMPTS {
            let readings = self.advance_clocks(floor, true).await?;
            if readings.iter().all(|reading| reading.millis >= floor) {
                return Ok(readings);
            }
            sleep(RAISE_INTERVAL).await;
        }
        Err(StoreError::Unavailable(
            "a partition refuses writes, and its clock is behind the others".to_owned(),
        ))
    }

    /// Finds a watermark at or after every event that was acknowledged before the call, and after every event that this
    /// instance has passed on.
    ///
    /// Reads the clocks, and then raises all of them above the greatest.
    pub(super) async fn settle(&self) -> Result<Settled, StoreError> {
        self.advance_clocks(self.clocks.greatest(), false).await?;
        let latest = self.clocks.greatest();
        let readings = self.raise_clocks(latest + 1).await?;
        let tail = |reading: &ClockReading| {
            if reading.tail.millis() <= latest { reading.tail } else { reading.before_floor }
        };
        let greatest = |cursors: &mut dyn Iterator<Item = Cursor>| cursors.max().unwrap_or(Cursor::ORIGIN);
        Ok(Settled {
            watermark: end_of(latest),
            tail: greatest(&mut readings.iter().map(tail)),
            newest: greatest(&mut readings.iter().map(|reading| reading.tail)),
            lost_until: greatest(&mut readings.iter().map(|reading| reading.lost_until)),
        })
    }

    /// Reports whether a partition has lost events since the merged feed had these positions, and records a loss, so
    /// that clients on other instances do not resume from before it.
    pub(super) async fn find_loss(&self, positions: &Positions) -> Result<bool, StoreError> {
        let request = PageRequest { limit: 1, max_bytes: 1, reads_always: true };
        let followed = self.partitions().iter().zip(&positions.received);
        let followed = followed.filter(|(_, received)| **received != Cursor::ORIGIN);
        let checks = followed.map(|(partition, received)| async move {
            let (facts, page) = partition.read_page(Topic::All, *received, request).await?;
            Ok::<_, StoreError>(
                is_changed(*received, positions.passed, &facts, page.as_ref()).then_some(partition),
            )
        });
        let changed: Vec<_> = try_join_all(checks).await?.into_iter().flatten().collect();
        if changed.is_empty() {
            return Ok(false);
        }
        let until = self.settle().await?.tail;
        try_join_all(changed.iter().map(|partition| partition.record_loss(until))).await?;
        tracing::warn!(
            partitions = changed.len(),
            "partitions have lost events; resetting followers of all streams"
        );
        Ok(true)
    }

    /// Reads a page of the merged log.
    pub(super) async fn read_merged(&self, after: Cursor, limit: usize) -> Result<LogRead, StoreError> {
        let settled = self.settle().await?;
        if after < settled.lost_until {
            return Ok(LogRead::Reset(ResetReason::Unknown));
        }
        let issuer = self.partitioning.of_cursor(after);
        let request =
            PageRequest { limit, max_bytes: LOG_PAGE_BYTES / self.partitions().len(), reads_always: false };
        let mut first = self.partition(issuer).read_page(Topic::All, after, request).await?;
        match reset_reason(Topic::All, after, &first.0) {
            // Another partition has a newer cursor.
            Some(ResetReason::Future) if after <= settled.newest => {
                return Ok(LogRead::Reset(ResetReason::Unknown));
            }
            Some(reason) => return Ok(LogRead::Reset(reason)),
            None => {}
        }
        let request = PageRequest { reads_always: true, ..request };
        if first.1.is_none() {
            first = self.partition(issuer).read_page(Topic::All, after, request).await?;
        }
        let others = self.partitioning.all().filter(|partition| *partition != issuer);
        let others = others.map(|other| self.partition(other).read_page(Topic::All, after, request));
        let mut pages = Vec::new();
        for (index, (facts, page)) in std::iter::once(first).chain(try_join_all(others).await?).enumerate() {
            if let Some(reason) = lost_after(after, &facts).filter(|_| index > 0) {
                return Ok(LogRead::Reset(reason));
            }
            match page {
                Some(LogRead::Events { events, complete }) => pages.push((events, complete)),
                Some(reset @ LogRead::Reset(_)) => return Ok(reset),
                None => return Ok(LogRead::Reset(ResetReason::Expired)),
            }
        }
        Ok(merge_events(pages, settled.watermark, limit))
    }

    /// Reads a page of one stream's log after a cursor that another partition has issued.
    pub(super) async fn read_after_foreign(
        &self,
        topic: Topic,
        after: Cursor,
        limit: usize,
    ) -> Result<LogRead, StoreError> {
        let Topic::Stream(id) = topic else { return self.read_merged(after, limit).await };
        let (none, issuer) = (PageRequest::FACTS, self.partition(self.partitioning.of_cursor(after)));
        let (issued, _) = issuer.read_page(Topic::All, after, none).await?;
        let never_issued = issued.first.is_none() && issued.newest < after;
        let request = PageRequest { limit, max_bytes: LOG_PAGE_BYTES, reads_always: !never_issued };
        let (own, page) = self.of_stream(id).read_page(topic, after, request).await?;
        let facts = LogFacts {
            all_contains_cursor: issued.contains_cursor,
            first_of_all: issued.first,
            newest: own.newest.max(issued.newest),
            ..own
        };
        if let Some(reason) = reset_reason(topic, after, &facts) {
            return Ok(LogRead::Reset(reason));
        }
        Ok(page.filter(|_| !never_issued).unwrap_or(LogRead::Reset(ResetReason::Unknown)))
    }

    /// Returns the newest events of the merged log; `None` if they are larger than a page.
    pub(super) async fn newest_merged(&self, limit: usize) -> Result<Option<Vec<Arc<Event>>>, StoreError> {
        let settled = self.settle().await?;
        let newest = self.partitions().iter().map(|partition| partition.newest(Topic::All, limit));
        let Some(pages) = try_join_all(newest).await?.into_iter().collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let pages: Vec<EventPage> = pages.into_iter().map(|events| (events, true)).collect();
        let LogRead::Events { mut events, complete: true } =
            merge_events(pages, settled.watermark, usize::MAX)
        else {
            return Ok(None);
        };
        let events = events.split_off(events.len().saturating_sub(limit));
        let bytes: usize = events.iter().map(|event| event.approximate_bytes()).sum();
        Ok(Some(events).filter(|_| bytes <= PAGE_BYTES))
    }

    /// Returns the cursor before the newest `count` events of the merged log; `None` for an empty one.
    pub(super) async fn before_newest_merged(&self, count: usize) -> Result<Option<Cursor>, StoreError> {
        let settled = self.settle().await?;
        let newest = self.partitions().iter().map(|partition| partition.newest_cursors(count + 1));
        let newest = try_join_all(newest).await?;
        // The merged log begins where the last of the logs begins.
        let ended = newest.iter().filter(|newest| newest.cursors.len() <= count);
        let beginning = ended.map(|newest| newest.previous).max().unwrap_or(Cursor::ORIGIN);
        let mut cursors: Vec<_> = newest.into_iter().flat_map(|newest| newest.cursors).collect();
        cursors.retain(|cursor| *cursor <= settled.watermark);
        cursors.sort_unstable_by(|a, b| b.cmp(a));
        let position = || cursors.get(count).map_or(beginning, |cursor| beginning.max(*cursor));
        Ok((!cursors.is_empty()).then(position))
    }

    /// Reads a page of the live streams: those of one partition after the other. A position is the number of a
    /// partition and the position within it.
    pub(super) async fn live_streams_in_turn(&self, after: Option<&str>) -> Result<LivePage, StoreError> {
        let corrupt = || StoreError::Corrupt("list".to_owned());
        let (number, within) = match after {
            None => (0, None),
            Some(position) => {
                let (number, within) = position.split_once('/').ok_or_else(corrupt)?;
                (number.parse().map_err(|_| corrupt())?, Some(within).filter(|within| !within.is_empty()))
            }
        };
        let partition = self.partitions().get(number).ok_or_else(corrupt)?;
        let LivePage { streams, tails, next } = partition.live_streams(within).await?;
        let next = match next {
            Some(within) => Some(format!("{number}/{within}")),
            None => {
                Some(number + 1).filter(|next| *next < self.partitions().len()).map(|next| format!("{next}/"))
            }
        };
        Ok(LivePage { streams, tails, next })
    }
}

/// Returns why the log of a partition does not hold everything after a cursor that another partition has issued.
fn lost_after(after: Cursor, facts: &LogFacts) -> Option<ResetReason> {
    match facts.first {
        Some(first) => (first.previous > after).then_some(ResetReason::Expired),
        None => (facts.newest > after).then_some(ResetReason::Unknown),
    }
}
