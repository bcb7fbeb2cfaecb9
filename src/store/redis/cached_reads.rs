//! Reads that transfer only states that `state_cache` does not have in their current version.

use super::{
    client::RedisStore,
    codec::{self, Fields, STATE},
    connection::Traffic,
    scripts::{ListStreams, ScriptCall},
    state_cache::{EstimatedSize, StateCache, StateVersion},
};
use crate::{
    domain::{Stream, StreamId},
    store::{Page, SharedState, StoreError},
};

/// Maximum streams of a page while their sizes are unknown.
const PAGE_WITHOUT_SIZES: usize = 16;

/// A list key, and the version of its stream where the page was read with versions.
type ListEntry = (String, Option<StateVersion>);

impl RedisStore {
    /// The cached state of a stream, if Redis confirms its version; `None` where the state must be read.
    pub(super) async fn cached_if_current<T: EstimatedSize>(
        &self,
        cache: &StateCache<T>,
        id: StreamId,
    ) -> Result<Option<SharedState<T>>, StoreError> {
        if !cache.contains(id) {
            return Ok(None);
        }
        let mut command = redis::cmd("HGET");
        command.arg(self.keys.stream(id)).arg(STATE);
        // "mark" is the value of the metric's label `call`.
        let state: Option<String> = self.query("mark", &command).await?;
        Ok(state.and_then(|state| cache.get(id, &StateVersion::new(state))))
    }

    fn decode_and_cache(&self, id: StreamId, fields: &Fields) -> Result<SharedState<Stream>, StoreError> {
        let version = StateVersion::from_fields(fields);
        Ok(self.caches.streams.insert(id, version, codec::stream(fields)?))
    }

    /// A page of an index, newest first: list keys with versions. The streams' metadata is at most
    /// [`PAGE_BYTES`](crate::store::PAGE_BYTES) together. During a slot migration versions and sizes are missing, the
    /// page is short, and every stream of it must be read.
    pub(super) async fn list_page(
        &self,
        index: String,
        from: String,
        limit: usize,
    ) -> Result<Page<ListEntry>, StoreError> {
        if let Some(values) = self.list_with_versions(&index, &from, limit).await? {
            let mut values = values.into_iter();
            let next = values.next().filter(|key| !key.is_empty());
            let entry = || {
                let (key, state) = (values.next()?, values.next()?);
                Some((key, (!state.is_empty()).then(|| StateVersion::new(state))))
            };
            return Ok(Page { items: std::iter::from_fn(entry).collect(), next });
        }
        // A command on a single key finds its node during a migration; the script would have to wait.
        let limit = limit.min(PAGE_WITHOUT_SIZES);
        let mut command = redis::cmd("ZRANGE");
        command.arg(index).arg(from).arg("-").arg("BYLEX").arg("REV").arg("LIMIT").arg(0).arg(limit + 1);
        let mut keys: Vec<String> = self.query("list", &command).await?;
        let has_more = keys.len() > limit;
        keys.truncate(limit);
        let next = keys.last().filter(|_| has_more).cloned();
        Ok(Page { items: keys.into_iter().map(|key| (key, None)).collect(), next })
    }

    /// Runs `list_streams.lua` for one page; `None` while a slot migration prevents the script. The answer is flat: the
    /// start of the next page or `""`, then for each stream its list key and its [`STATE`], `""` for a
    /// missing stream.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if Redis does not answer or refuses the script.
    async fn list_with_versions(
        &self,
        index: &str,
        from: &str,
        limit: usize,
    ) -> Result<Option<Vec<String>>, StoreError> {
        let call = ScriptCall::from(ListStreams {
            list: index.to_owned(),
            from: from.to_owned(),
            limit,
            stream_key_prefix: self.keys.stream_prefix(),
        });
        self.timed("list", async {
            match self.connector.call_once(self.request(&call), Traffic::Bulk).await {
                Err(failure) if failure.is_slot_migrating() => Ok(None),
                answer => Ok(Some(redis::from_redis_value(answer?)?)),
            }
        })
        .await
    }

    /// Reads and caches streams, in the order of `ids`; omits streams that do not exist.
    pub(super) async fn read_streams(
        &self,
        ids: &[StreamId],
    ) -> Result<Vec<SharedState<Stream>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut commands = redis::pipe();
        for id in ids {
            commands.hgetall(self.keys.stream(*id));
        }
        let hashes: Vec<Fields> = self.pipeline("list_streams", &commands, Traffic::Bulk).await?;
        let existing = ids.iter().zip(hashes).filter(|(_, fields)| !fields.is_empty());
        existing.map(|(id, fields)| self.decode_and_cache(*id, &fields)).collect()
    }
}
