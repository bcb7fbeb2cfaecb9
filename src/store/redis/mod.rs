//! Streams in Redis: the only memory that instances share.
//!
//! Every change is one Lua script, so there is never a state without its event or an event without its state, and
//! concurrent instances need no locks. Times come from Redis.

mod codec;
mod connection;
mod feed;
mod keys;
mod scripts;

use std::sync::Arc;

use async_trait::async_trait;
use redis::{FromRedisValue, Script};
use secrecy::SecretString;

use self::{
    codec::Fields,
    connection::{Connector, unavailable},
    keys::Keys,
    scripts::Scripts,
};
use super::{Applied, Created, Due, Guard, Page, Retention, StoreError, StreamFilter, StreamStore, Totals};
use crate::domain::{
    Change, Participant, ParticipantState, Rejection, RoomName, Stream, StreamId, StreamRef, StreamStatus,
    StreamView, Timestamp,
    change::Effect,
    stream::{MAX_LISTED_PARTICIPANTS, NewStream},
};
use crate::telemetry::Metrics;

/// How long a webhook's event id is remembered. LiveKit gives up on an event after well under a minute.
const ONCE_SECONDS: u64 = 3_600;

/// The store. Clones share their connections.
#[derive(Clone)]
pub struct RedisStore {
    connector: Connector,
    keys: Keys,
    scripts: Arc<Scripts>,
    retention: Retention,
    metrics: Arc<Metrics>,
}

impl RedisStore {
    /// A store at `url` whose keys begin with `{prefix}:`. Nothing is opened until it is used.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] for an address that cannot be understood.
    pub fn new(
        url: &SecretString,
        prefix: &str,
        retention: Retention,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let connector = Connector::new(url)?;
        Ok(Self { connector, keys: Keys::new(prefix), scripts: Arc::new(Scripts::new()), retention, metrics })
    }

    /// Runs a script by its hash; one that Redis has forgotten is loaded again.
    async fn run<T: FromRedisValue>(
        &self,
        name: &'static str,
        script: &Script,
        keys: &[String],
        args: &[String],
    ) -> Result<T, StoreError> {
        self.metrics
            .timed_redis(name, async {
                let mut connection = self.connector.commands().await?;
                let mut invocation = script.prepare_invoke();
                for key in keys {
                    invocation.key(key);
                }
                for arg in args {
                    invocation.arg(arg);
                }
                invocation.invoke_async(&mut connection).await.map_err(unavailable)
            })
            .await
    }

    async fn query<T: FromRedisValue>(
        &self,
        name: &'static str,
        command: &redis::Cmd,
    ) -> Result<T, StoreError> {
        self.metrics
            .timed_redis(name, async {
                let mut connection = self.connector.commands().await?;
                command.query_async(&mut connection).await.map_err(unavailable)
            })
            .await
    }

    async fn pipeline<T: FromRedisValue>(
        &self,
        name: &'static str,
        commands: &redis::Pipeline,
    ) -> Result<T, StoreError> {
        self.metrics
            .timed_redis(name, async {
                let mut connection = self.connector.commands().await?;
                commands.query_async(&mut connection).await.map_err(unavailable)
            })
            .await
    }

    fn change_args(&self, id: StreamId, guard: &Guard, own: Vec<String>) -> Vec<String> {
        let mut args = vec![
            id.to_string(),
            text(guard.version),
            text(guard.once.as_ref().map(|_| ONCE_SECONDS)),
            self.retention.live.as_millis().to_string(),
            self.retention.stopped.as_millis().to_string(),
        ];
        args.extend(own);
        args
    }

    /// The script of a change and its own arguments.
    fn script_of(&self, change: Change) -> (&'static str, &Script, Vec<String>) {
        let scripts = &self.scripts;
        match change {
            Change::Activate { room_sid } => ("activate", &scripts.activate, vec![room_sid]),
            Change::BeginStop { reason, room_sid } => {
                ("begin_stop", &scripts.begin_stop, vec![reason.to_string(), text(room_sid)])
            }
            Change::Claim => ("claim", &scripts.claim, Vec::new()),
            Change::Release => ("release", &scripts.release, Vec::new()),
            Change::Close => {
                ("close", &scripts.close, vec![StreamStatus::Stopped.to_string(), String::new()])
            }
            Change::Fail { reason } => {
                ("close", &scripts.close, vec![StreamStatus::Error.to_string(), reason])
            }
            Change::IssueToken { identity, name, role, metadata, joining_ttl } => {
                let metadata = text(metadata.as_ref().map(|metadata| metadata.as_text()));
                let ttl = joining_ttl.as_millis().to_string();
                let own = vec![identity.to_string(), text(name), role.as_str().to_owned(), metadata, ttl];
                ("issue_token", &scripts.issue_token, own)
            }
            Change::Connect(session) => {
                let own = vec![
                    session.room_sid,
                    session.sid,
                    session.identity.to_string(),
                    text(session.name),
                    text(session.role.map(|role| role.as_str())),
                    text(session.metadata.as_ref().map(|metadata| metadata.as_text())),
                    text(session.joined_at.map(Timestamp::as_millis)),
                ];
                ("connect", &scripts.connect, own)
            }
            Change::Disconnect { identity, sid, at } => {
                let own = vec![identity.to_string(), text(sid), text(at.map(Timestamp::as_millis))];
                ("disconnect", &scripts.disconnect, own)
            }
            Change::ExpireJoining => ("expire_joining", &scripts.expire_joining, Vec::new()),
            Change::SetMetadata { expected, metadata } => {
                let own = vec![expected.as_text().to_owned(), metadata.as_text().to_owned()];
                ("set_metadata", &scripts.set_metadata, own)
            }
        }
    }

    async fn fields_of(&self, ids: &[StreamId]) -> Result<Vec<Fields>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut commands = redis::pipe();
        for id in ids {
            commands.hgetall(self.keys.stream(*id));
        }
        self.pipeline("list", &commands).await
    }
}

/// An optional argument; scripts read the empty text as none.
fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(what.to_owned())
}

fn applied(answer: &[String]) -> Result<Applied, StoreError> {
    let answer: Vec<&str> = answer.iter().map(String::as_str).collect();
    let effect = match answer[..] {
        ["missing"] => return Err(StoreError::NotFound),
        ["rejected", why, detail] => return Err(rejection(why, detail)?.into()),
        ["changed", ..] => Effect::Changed,
        ["unchanged", ..] => Effect::Unchanged,
        ["partial", ..] => Effect::Partial,
        ["duplicate", ..] => Effect::Duplicate,
        _ => return Err(corrupt("a script's answer")),
    };
    let [_, stream, participant] = answer[..] else { return Err(corrupt("a script's answer")) };
    Ok(Applied {
        effect,
        stream: codec::stream_from_json(stream)?,
        participant: codec::participant(participant)?,
    })
}

fn rejection(why: &str, detail: &str) -> Result<Rejection, StoreError> {
    let status = |text: &str| text.parse().map_err(|()| corrupt("status"));
    let number = || detail.parse().map_err(|_| corrupt("a rejection's number"));
    Ok(match why {
        "transition" => {
            let (to, from) = detail.split_once(' ').ok_or_else(|| corrupt("transition"))?;
            Rejection::InvalidTransition { from: status(from)?, to: status(to)? }
        }
        "not_active" => Rejection::NotActive { status: status(detail)? },
        "full" => Rejection::Full { max: detail.parse().map_err(|_| corrupt("full"))? },
        "version" => Rejection::VersionMismatch { current: number()? },
        "metadata" => Rejection::MetadataChanged,
        _ => return Err(corrupt("a rejection")),
    })
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
        let keys = self.keys.of_change(stream, guard.once.as_deref());
        let args = self.change_args(stream.id, &guard, own);
        let answer: Vec<String> = self.run(name, script, &keys, &args).await?;
        applied(&answer)
    }

    async fn get(&self, id: StreamId) -> Result<Option<Stream>, StoreError> {
        let fields: Fields = self.query("get", redis::cmd("HGETALL").arg(self.keys.stream(id))).await?;
        if fields.is_empty() { Ok(None) } else { codec::stream(fields).map(Some) }
    }

    async fn id_of_room(&self, room: &RoomName) -> Result<Option<StreamId>, StoreError> {
        let holder: Option<String> = self.query("room", redis::cmd("GET").arg(self.keys.room(room))).await?;
        let id = |text: String| {
            text.split_once(':').and_then(|(_, id)| id.parse().ok()).ok_or_else(|| corrupt("room"))
        };
        holder.map(id).transpose()
    }

    async fn view(&self, id: StreamId) -> Result<Option<StreamView>, StoreError> {
        Ok(self.view_with_cursor(id).await?.map(|(view, _)| view))
    }

    async fn list(
        &self,
        filter: StreamFilter,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Stream>, StoreError> {
        let index = match filter {
            StreamFilter::All => self.keys.all(),
            StreamFilter::NotStopped => self.keys.live(),
            StreamFilter::Status(status) => self.keys.status(status),
        };
        let from = after.map_or_else(|| "+".to_owned(), |after| format!("({after}"));
        let mut command = redis::cmd("ZRANGE");
        command.arg(index).arg(from).arg("-").arg("BYLEX").arg("REV").arg("LIMIT").arg(0).arg(limit + 1);
        let mut keys: Vec<String> = self.query("list", &command).await?;
        let more = keys.len() > limit;
        keys.truncate(limit);
        let id = |key: &String| {
            key.split_once(':').and_then(|(_, id)| id.parse().ok()).ok_or_else(|| corrupt("list"))
        };
        let ids = keys.iter().map(id).collect::<Result<Vec<_>, _>>()?;
        // An entry whose stream has expired shows nothing; it is on its way out of the list.
        let found = self.fields_of(&ids).await?.into_iter().filter(|fields| !fields.is_empty());
        let items = found.map(codec::stream).collect::<Result<_, _>>()?;
        Ok(Page { items, next: keys.pop().filter(|_| more) })
    }

    async fn participants(
        &self,
        id: StreamId,
        state: Option<ParticipantState>,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Participant>, StoreError> {
        let keys = [self.keys.stream(id), self.keys.participants(id), self.keys.order(id)];
        let from = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let args = [from, limit.to_string(), text(state)];
        let (exists, found, next): (bool, Vec<Option<String>>, String) =
            self.run("participants", &self.scripts.participants, &keys, &args).await?;
        if !exists {
            return Err(StoreError::NotFound);
        }
        Ok(Page { items: codec::participants(found)?, next: Some(next).filter(|next| !next.is_empty()) })
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
        let (participants, counts): (Option<u64>, Vec<u64>) = {
            let mut answers: Vec<Option<u64>> = self.pipeline("totals", &commands).await?;
            let participants = answers.remove(0);
            (participants, answers.into_iter().flatten().collect())
        };
        let streams = StreamStatus::ALL.into_iter().zip(counts).collect();
        Ok(Totals { streams, participants: participants.unwrap_or_default() })
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.query("ping", &redis::cmd("PING")).await
    }
}

impl RedisStore {
    /// A stream with its first participants, and the position of its newest event.
    async fn view_with_cursor(
        &self,
        id: StreamId,
    ) -> Result<Option<(StreamView, crate::domain::Cursor)>, StoreError> {
        let keys = [self.keys.stream(id), self.keys.participants(id), self.keys.order(id)];
        let (fields, people): (Fields, Vec<Option<String>>) =
            self.run("view", &self.scripts.view, &keys, &[MAX_LISTED_PARTICIPANTS.to_string()]).await?;
        if fields.is_empty() {
            return Ok(None);
        }
        let cursor = codec::cursor_of(&fields)?;
        let view = StreamView { stream: codec::stream(fields)?, participants: codec::participants(people)? };
        Ok(Some((view, cursor)))
    }
}
