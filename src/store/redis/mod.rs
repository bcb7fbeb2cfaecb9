//! Streams in Redis: the only memory that instances share.
//!
//! Every change is one Lua script, so there is never a state without its event or an event without its state, and
//! concurrent instances need no locks. Times come from Redis.

mod answers;
mod cached_reads;
mod changes;
mod codec;
mod connection;
mod coordination;
mod feed;
mod inspect;
mod keys;
mod quota;
mod scripts;
mod state_cache;

use std::sync::Arc;

use async_trait::async_trait;
use redis::{FromRedisValue, Script};

use self::{
    changes::{applied, text},
    codec::Fields,
    connection::{Connector, Request},
    keys::Keys,
    scripts::Scripts,
    state_cache::{StateCaches, StateVersion},
};
pub use self::{
    connection::{Address, Failure, FailureKind},
    inspect::{PubSubError, ServerInfo},
};
use super::{
    Applied, Created, Due, Guard, KindFilter, Page, ParticipantFilter, Retention, StoreError, StreamFilter,
    StreamStore, Topic, Totals,
};
use crate::domain::{
    Change, Participant, RoomName, Shared, Stream, StreamId, StreamRef, StreamStatus, StreamView,
    stream::{MAX_LISTED_PARTICIPANTS, NewStream},
};
use crate::telemetry::Metrics;

/// The store. Clones share their connections.
#[derive(Clone)]
pub struct RedisStore {
    connector: Connector,
    keys: Keys,
    scripts: Arc<Scripts>,
    retention: Retention,
    metrics: Arc<Metrics>,
    caches: Arc<StateCaches>,
}

impl RedisStore {
    /// A store at `address` whose keys begin with `{prefix}:`. Nothing is opened until it is used.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] for an address or certificates that cannot be understood.
    pub fn new(
        address: &Address,
        prefix: &str,
        retention: Retention,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let keys = Keys::new(prefix);
        let connector = Connector::new(address, keys.tail())?;
        let (scripts, caches) = (Arc::new(Scripts::new()), Arc::new(StateCaches::new()));
        Ok(Self { connector, keys, scripts, retention, metrics, caches })
    }

    /// Runs a script that may change something, or that makes names of keys itself. It is told of one more key, which
    /// never exists: a node of a cluster that is giving its keys away one by one then refuses the script before it
    /// begins, and neither breaks it off half-way nor takes a key for missing that is elsewhere already.
    async fn run<T: FromRedisValue>(
        &self,
        name: &'static str,
        script: &Script,
        keys: &[String],
        args: &[String],
    ) -> Result<T, StoreError> {
        let never = self.keys.never();
        self.call(name, Request::Script { script, keys, absent_key: Some(&never), args }).await
    }

    /// Runs a script that only reads, and only keys that it is told of.
    async fn read<T: FromRedisValue>(
        &self,
        name: &'static str,
        script: &Script,
        keys: &[String],
        args: &[String],
    ) -> Result<T, StoreError> {
        self.call(name, Request::Script { script, keys, absent_key: None, args }).await
    }

    async fn query<T: FromRedisValue>(
        &self,
        name: &'static str,
        command: &redis::Cmd,
    ) -> Result<T, StoreError> {
        self.call(name, Request::Command(command)).await
    }

    /// Several commands that only read.
    async fn pipeline<T: FromRedisValue>(
        &self,
        name: &'static str,
        commands: &redis::Pipeline,
    ) -> Result<T, StoreError> {
        self.call(name, Request::Reads(commands)).await
    }

    async fn call<T: FromRedisValue>(
        &self,
        name: &'static str,
        request: Request<'_>,
    ) -> Result<T, StoreError> {
        self.timed(name, async { Ok(redis::from_redis_value(self.connector.call(request).await?)?) }).await
    }

    /// Records how long a call took and what went wrong.
    async fn timed<T>(
        &self,
        name: &'static str,
        answer: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, StoreError> {
        let answer = self.metrics.timed_redis(name, answer, |failure| failure.kind.as_str()).await;
        answer.map_err(|failure| {
            self.connector.log_failure(name, &failure);
            failure.into()
        })
    }
}

fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(what.to_owned())
}

#[async_trait]
impl StreamStore for RedisStore {
    async fn create(&self, new: NewStream) -> Result<Created, StoreError> {
        let reference = StreamRef { id: new.id, room_name: new.room_name };
        let own = vec![
            reference.room_name.to_string(),
            new.metadata.as_text().to_owned(),
            text(new.max_participants),
            text(new.idle_after.map(|after| after.as_millis())),
        ];
        let keys = self.keys.of_change(&reference, None);
        let args = self.change_args(reference.id, &Guard::default(), own);
        let answer: Vec<String> = self.run("create", &self.scripts.create, &keys, &args).await?;
        if answer == ["held"] {
            return Ok(Created::Held);
        }
        let [outcome, detail, ..] = &answer[..] else { return Err(corrupt("a script's answer")) };
        if outcome != "existing" {
            return codec::stream_from_json(detail).map(Created::New);
        }
        let id = detail.parse().map_err(|_| corrupt("room"))?;
        // Gone since the script looked: the caller may simply ask again.
        let gone =
            || StoreError::Unavailable("the stream that held the room name has just expired".to_owned());
        self.get(id).await?.map(Created::Existing).ok_or_else(gone)
    }

    async fn apply(&self, stream: &StreamRef, change: Change, guard: Guard) -> Result<Applied, StoreError> {
        let (name, script, own) = self.script_of(change);
        let keys = self.keys.of_change(stream, guard.once.as_ref());
        let args = self.change_args(stream.id, &guard, own);
        let answer: Vec<String> = self.run(name, script, &keys, &args).await?;
        applied(&answer)
    }

    async fn get(&self, id: StreamId) -> Result<Option<Stream>, StoreError> {
        let fields: Fields = self.query("get", redis::cmd("HGETALL").arg(self.keys.stream(id))).await?;
        if fields.is_empty() { Ok(None) } else { codec::stream(&fields).map(Some) }
    }

    async fn reference(&self, id: StreamId) -> Result<Option<StreamRef>, StoreError> {
        if let Some(room_name) = self.caches.room_names.get(&id) {
            return Ok(Some(StreamRef { id, room_name }));
        }
        let mut command = redis::cmd("HGET");
        command.arg(self.keys.stream(id)).arg("roomName");
        let found: Option<String> = self.query("reference", &command).await?;
        let Some(found) = found else { return Ok(None) };
        let room_name = RoomName::parse(found).map_err(|_| corrupt("roomName"))?;
        self.caches.room_names.insert(id, room_name.clone());
        Ok(Some(StreamRef { id, room_name }))
    }

    async fn id_of_room(&self, room: &RoomName) -> Result<Option<StreamId>, StoreError> {
        let holder: Option<String> = self.query("room", redis::cmd("GET").arg(self.keys.room(room))).await?;
        let id = |text: String| {
            text.split_once(':').and_then(|(_, id)| id.parse().ok()).ok_or_else(|| corrupt("room"))
        };
        holder.map(id).transpose()
    }

    async fn view(&self, id: StreamId) -> Result<Option<Shared<StreamView>>, StoreError> {
        if let Some(view) = self.cached_if_current(&self.caches.views, id).await? {
            return Ok(Some(view));
        }
        let keys = [self.keys.stream(id), self.keys.participants(id), self.keys.order(id)];
        let (fields, people): (Fields, Vec<Option<String>>) =
            self.read("view", &self.scripts.view, &keys, &[MAX_LISTED_PARTICIPANTS.to_string()]).await?;
        if fields.is_empty() {
            return Ok(None);
        }
        let (cursor, participants) = (codec::cursor_of(&fields)?, codec::participants(people)?);
        let version = StateVersion::from_fields(&fields);
        let view = StreamView { stream: codec::stream(&fields)?, participants, cursor };
        Ok(Some(self.caches.views.insert(id, version, view)))
    }

    async fn list(
        &self,
        filter: StreamFilter,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Shared<Stream>>, StoreError> {
        let index = match filter {
            StreamFilter::All => self.keys.all(),
            StreamFilter::NotStopped => self.keys.live(),
            StreamFilter::Status(status) => self.keys.status(status),
        };
        let from = after.map_or_else(|| "+".to_owned(), |after| format!("({after}"));
        let found = self.list_page(index, from, limit + 1).await?;
        let mut listed = Vec::with_capacity(limit);
        for (key, version) in found.iter().take(limit) {
            let id =
                key.split_once(':').and_then(|(_, id)| id.parse().ok()).ok_or_else(|| corrupt("list"))?;
            listed.push((id, version.as_ref().and_then(|version| self.caches.streams.get(id, version))));
        }
        let missing: Vec<_> = listed.iter().filter(|(_, kept)| kept.is_none()).map(|(id, _)| *id).collect();
        let mut read = self.read_streams(&missing).await?.into_iter().peekable();
        // An entry whose stream has expired shows nothing; it is on its way out of the list.
        let items = listed
            .into_iter()
            .filter_map(|(id, kept)| kept.or_else(|| read.next_if(|stream| stream.id == id)));
        let next = (found.len() > limit).then(|| found.get(limit - 1)).flatten().map(|(key, _)| key.clone());
        Ok(Page { items: items.collect(), next })
    }

    async fn participants(
        &self,
        id: StreamId,
        filter: ParticipantFilter,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Participant>, StoreError> {
        let keys =
            [self.keys.stream(id), self.keys.participants(id), self.keys.order(id), self.keys.unlisted(id)];
        let from = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let ParticipantFilter { state, kind, shows_hidden } = filter;
        let kind = text(kind.map(KindFilter::as_str));
        let args = [from, limit.to_string(), text(state), kind, u8::from(shows_hidden).to_string()];
        let (exists, found, next): (bool, Vec<Option<String>>, String) =
            self.read("participants", &self.scripts.participants, &keys, &args).await?;
        if !exists {
            return Err(StoreError::NotFound);
        }
        Ok(Page { items: codec::participants(found)?, next: Some(next).filter(|next| !next.is_empty()) })
    }

    async fn unlisted(&self, id: StreamId, identity: &str) -> Result<Option<Participant>, StoreError> {
        let mut command = redis::cmd("HGET");
        command.arg(self.keys.unlisted(id)).arg(identity);
        let found: Option<String> = self.query("participant", &command).await?;
        codec::participant(&found.unwrap_or_default())
    }

    async fn participant(&self, id: StreamId, identity: &str) -> Result<Option<Participant>, StoreError> {
        let mut command = redis::cmd("HGET");
        command.arg(self.keys.participants(id)).arg(identity);
        let found: Option<String> = self.query("participant", &command).await?;
        codec::participant(&found.unwrap_or_default())
    }

    async fn due(&self, limit: usize) -> Result<Vec<Due>, StoreError> {
        let over = [StreamStatus::Stopped, StreamStatus::Error].map(|status| self.keys.status(status));
        let mut keys = vec![self.keys.due(), self.keys.over(), self.keys.all(), self.keys.live()];
        keys.extend(over);
        let args = [limit.to_string(), self.retention.stopped.as_millis().to_string()];
        let members: Vec<String> = self.run("due", &self.scripts.due, &keys, &args).await?;
        let parse = |member: &String| match member.split_once(':')? {
            ("j", id) => id.parse().ok().map(Due::Joining),
            ("i", id) => id.parse().ok().map(Due::Idle),
            ("s", id) => id.parse().ok().map(Due::Stuck),
            _ => None,
        };
        members.iter().map(|member| parse(member).ok_or_else(|| corrupt("due"))).collect()
    }

    async fn forget_due(&self, due: Due) -> Result<(), StoreError> {
        let member = match due {
            Due::Joining(id) => format!("j:{id}"),
            Due::Idle(id) => format!("i:{id}"),
            Due::Stuck(id) => format!("s:{id}"),
        };
        self.query("forget_due", redis::cmd("ZREM").arg(self.keys.due()).arg(member)).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        let mut commands = redis::pipe();
        commands.get(self.keys.total());
        for status in StreamStatus::ALL {
            commands.zcard(self.keys.status(status));
        }
        let answers: Vec<Option<i64>> = self.pipeline("totals", &commands).await?;
        let mut numbers = answers.into_iter().map(|number| number.unwrap_or_default());
        let mut next = || numbers.next().and_then(|number| u64::try_from(number).ok()).unwrap_or_default();
        let participants = next();
        let streams = StreamStatus::ALL.into_iter().map(|status| (status, next())).collect();
        Ok(Totals { streams, participants })
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // More than PING: a cluster that is down answers that too, and so does a Redis that lets nobody run a script.
        let keys = [self.keys.log(Topic::All)];
        let _: Option<String> =
            self.read("ping", &self.scripts.before_newest, &keys, &["0".to_owned()]).await?;
        Ok(())
    }
}
