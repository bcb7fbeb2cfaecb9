//! Lists and totals over all partitions.

use futures_util::future::try_join_all;

use super::{PartitionBackend, PartitionedStore, pages::merge_pages};
use crate::{
    domain::Stream,
    store::{PAGE_BYTES, Page, SharedState, StoreError, StreamFilter, Totals},
};

/// Approximate size of a stream without its metadata.
const STREAM_BYTES: usize = 1_000;
/// Least number of streams that are read from each partition.
const MIN_SHARE: usize = 8;

impl<P: PartitionBackend> PartitionedStore<P> {
    /// Merges the lists of all partitions after one list key.
    ///
    /// Reads only twice a partition's share of the page at a time, because the pages of all partitions are many times
    /// of what the caller gets. Where the streams of the page are in few partitions, a few larger reads follow.
    pub(super) async fn merged_list(
        &self,
        filter: StreamFilter,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<SharedState<Stream>>, StoreError> {
        let mut share = (2 * limit / self.partitions().len()).max(MIN_SHARE);
        let mut merged = Page { items: Vec::new(), next: after.map(str::to_owned) };
        let mut left = PAGE_BYTES;
        loop {
            let wanted = limit - merged.items.len();
            let page =
                self.merge_shares(filter, share.min(wanted), merged.next.as_deref(), (wanted, left)).await?;
            left = left.saturating_sub(page.items.iter().map(bytes_of).sum());
            merged.items.extend(page.items);
            merged.next = page.next;
            if merged.next.is_none() || merged.items.len() >= limit || left < STREAM_BYTES {
                return Ok(merged);
            }
            share *= 4;
        }
    }

    /// Reads `share` streams of each partition, and merges what is known of all of them: at most this number of
    /// streams, and about this number of bytes.
    async fn merge_shares(
        &self,
        filter: StreamFilter,
        share: usize,
        after: Option<&str>,
        (limit, max_bytes): (usize, usize),
    ) -> Result<Page<SharedState<Stream>>, StoreError> {
        let pages = self.partitions().iter().map(|partition| partition.list(filter, share, after));
        let pages = try_join_all(pages).await?;
        Ok(merge_pages(pages, limit, max_bytes, |stream| Stream::list_key(stream), bytes_of))
    }

    pub(super) async fn merged_totals(&self) -> Result<Totals, StoreError> {
        let all = try_join_all(self.partitions().iter().map(|partition| partition.totals())).await?;
        let mut merged = Totals::default();
        for totals in all {
            merged.participants += totals.participants;
            for (status, count) in totals.streams {
                match merged.streams.iter_mut().find(|(known, _)| *known == status) {
                    Some((_, sum)) => *sum += count,
                    None => merged.streams.push((status, count)),
                }
            }
        }
        Ok(merged)
    }
}

fn bytes_of(stream: &SharedState<Stream>) -> usize {
    STREAM_BYTES + stream.metadata.as_text().len()
}
