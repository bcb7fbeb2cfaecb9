//! Pages of the live streams, for the snapshot of all streams.

use super::{
    client::RedisStore,
    codec::{self, Fields, corrupt},
    connection::Traffic,
    keys::lexical_bound,
};
use crate::{
    domain::{Cursor, Stream, StreamId},
    store::{LIVE_PAGE, LivePage, StoreError},
};

impl RedisStore {
    /// Reads list entries and then states, each with the newest cursor behind them.
    ///
    /// A script would read both at one moment, but it takes four times as long for a state as `HGETALL` itself.
    pub(super) async fn page_of_live_streams(&self, after: Option<&str>) -> Result<LivePage, StoreError> {
        let (keys, listed_at) = self.live_list_keys(after).await?;
        let id = |key: &String| key.split_once(':').and_then(|(_, id)| id.parse().ok());
        let ids = keys.iter().map(|key| id(key).ok_or_else(|| corrupt("list")));
        let (streams, read_at) = self.read_live_streams(&ids.collect::<Result<Vec<_>, _>>()?).await?;
        let next = (keys.len() == LIVE_PAGE).then(|| keys.last().cloned()).flatten();
        Ok(LivePage { streams, tails: vec![listed_at, read_at], next })
    }

    async fn live_list_keys(&self, after: Option<&str>) -> Result<(Vec<String>, Cursor), StoreError> {
        let mut commands = redis::pipe();
        let list = commands.cmd("ZRANGE").arg(self.keys.live_streams()).arg(lexical_bound("+", after));
        list.arg("-").arg("BYLEX").arg("REV").arg("LIMIT").arg(0).arg(LIVE_PAGE);
        commands.get(self.keys.tail());
        let (keys, tail) = self.pipeline("snapshot_list", &commands, Traffic::Bulk).await?;
        Ok((keys, codec::tail(tail)?))
    }

    /// Reads the streams that exist.
    async fn read_live_streams(&self, ids: &[StreamId]) -> Result<(Vec<Stream>, Cursor), StoreError> {
        let mut commands = redis::pipe();
        for id in ids {
            commands.hgetall(self.keys.stream(*id));
        }
        commands.get(self.keys.tail());
        let mut answers: Vec<redis::Value> =
            self.pipeline("snapshot_streams", &commands, Traffic::Bulk).await?;
        let tail = redis::from_redis_value(answers.pop().unwrap_or(redis::Value::Nil));
        let hashes = answers.into_iter().map(redis::from_redis_value::<Fields>);
        let hashes = hashes.collect::<Result<Vec<_>, _>>().map_err(|_| corrupt("stream"))?;
        let streams = hashes.iter().filter(|fields| !fields.is_empty()).map(codec::stream);
        Ok((streams.collect::<Result<_, _>>()?, codec::tail(tail.map_err(|_| corrupt("tail"))?)?))
    }
}
