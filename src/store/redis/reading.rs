//! Reads that ask Redis only for what this process has not read before; see `cache`.

use super::{
    RedisStore,
    cache::{Mark, Shelf, Sizeable},
    codec::{self, Fields},
    connection::Request,
};
use crate::{
    domain::{Shared, Stream, StreamId},
    store::StoreError,
};

impl RedisStore {
    /// What is cached of a stream, if Redis says that it is still so.
    pub(super) async fn unless_changed<T: Sizeable>(
        &self,
        shelf: &Shelf<T>,
        id: StreamId,
    ) -> Result<Option<Shared<T>>, StoreError> {
        if !shelf.has(id) {
            return Ok(None);
        }
        let mut command = redis::cmd("HMGET");
        command.arg(self.keys.stream(id)).arg(&Mark::FIELDS);
        let mark = Mark::of(self.query("mark", &command).await?);
        Ok(mark.and_then(|mark| shelf.get(id, &mark)))
    }

    fn keep_stream(&self, id: StreamId, fields: &Fields) -> Result<Shared<Stream>, StoreError> {
        let mark = Mark::in_fields(fields);
        Ok(self.cached.streams.keep(id, mark, codec::stream(fields)?))
    }

    /// The list keys of a page, with what tells whether each stream is as it was.
    pub(super) async fn marks_of_page(
        &self,
        index: String,
        from: String,
        count: usize,
    ) -> Result<Vec<(String, Option<Mark>)>, StoreError> {
        let (keys, never) = ([index], self.keys.never());
        let args = [from, count.to_string(), self.keys.stream_prefix()];
        let request =
            Request::Script { script: &self.scripts.list, keys: &keys, never: Some(&never), args: &args };
        let found = self.timed("list", async {
            match self.connector.call_at_once(request).await {
                Err(failure) if failure.waits_for_slot() => Ok(None),
                answer => Ok(Some(redis::from_redis_value::<Vec<String>>(answer?)?)),
            }
        });
        if let Some(found) = found.await? {
            let mut values = found.into_iter();
            let entry = |_| Some((values.next()?, Mark::of([values.next(), values.next(), values.next()])));
            return Ok((0..count).map_while(entry).collect());
        }
        // While the slot is being moved a script would have to wait; a single key is read wherever it is.
        let [index] = keys;
        let [from, ..] = args;
        let mut command = redis::cmd("ZRANGE");
        command.arg(index).arg(from).arg("-").arg("BYLEX").arg("REV").arg("LIMIT").arg(0).arg(count);
        let keys: Vec<String> = self.query("list", &command).await?;
        Ok(keys.into_iter().map(|key| (key, None)).collect())
    }

    /// Reads streams; leaves out those that are not there.
    pub(super) async fn read_streams(&self, ids: &[StreamId]) -> Result<Vec<Shared<Stream>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut commands = redis::pipe();
        for id in ids {
            commands.hgetall(self.keys.stream(*id));
        }
        let found: Vec<Fields> = self.pipeline("list_streams", &commands).await?;
        let there = ids.iter().zip(found).filter(|(_, fields)| !fields.is_empty());
        there.map(|(id, fields)| self.keep_stream(*id, &fields)).collect()
    }
}
