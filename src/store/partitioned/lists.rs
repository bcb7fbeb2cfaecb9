//! Lists and totals over all partitions.

use futures_util::future::try_join_all;

use super::{PartitionBackend, PartitionedStore, pages::merge_pages};
use crate::{
    domain::Stream,
    store::{PAGE_BYTES, Page, SharedState, StoreError, StreamFilter, Totals},
};

/// Approximate size of a stream without its metadata.
const STREAM_BYTES: usize = 1_000;

impl<P: PartitionBackend> PartitionedStore<P> {
    /// Reads a page of each partition after one list key, and merges them.
    pub(super) async fn merged_list(
        &self,
        filter: StreamFilter,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<SharedState<Stream>>, StoreError> {
        let pages = self.partitions().iter().map(|partition| partition.list(filter, limit, after));
        let pages = try_join_all(pages).await?;
        let key = |stream: &SharedState<Stream>| Stream::list_key(stream);
        let bytes = |stream: &SharedState<Stream>| STREAM_BYTES + stream.metadata.as_text().len();
        Ok(merge_pages(pages, limit, PAGE_BYTES, key, bytes))
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
