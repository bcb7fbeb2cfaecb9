//! [`StreamStore`] in Redis.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{
    client::RedisStore,
    codec::{self, Fields, corrupt},
    connection::Traffic,
    keys::lexical_bound,
    scripts::{ChangeScript, Create, ListBlocks, ListParticipants, PositionBeforeNewest, StreamViewCall},
    state_cache::StateVersion,
};
use crate::{
    domain::{
        Block, Change, Egress, EgressId, Identity, Ingress, IngressId, Participant, ParticipantState,
        RoomName, RtmpAddress, Stream, StreamEgresses, StreamId, StreamIngresses, StreamRef, StreamStatus,
        StreamView, TargetId, Timestamp, Topic,
        stream::{MAX_LISTED_PARTICIPANTS, NewStream},
    },
    store::{
        Applied, Clock, CreateOutcome, Guard, KindFilter, Page, ParticipantFilter, ParticipantsPage,
        SharedState, StoreError, StreamFilter, StreamStore, Totals,
    },
};

impl RedisStore {
    /// Reads a page of participants, with the stream's cursor at that moment.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the stream does not exist, [`StoreError::Unavailable`] if Redis does not answer.
    pub(super) async fn read_participants(
        &self,
        id: StreamId,
        filter: ParticipantFilter,
        limit: usize,
        after: Option<&str>,
    ) -> Result<ParticipantsPage, StoreError> {
        let call = ListParticipants {
            stream: self.keys.stream(id),
            participants: self.keys.participants(id),
            unlisted: self.keys.unlisted(id),
            joining_order: self.keys.order(id, ParticipantState::Joining),
            active_order: self.keys.order(id, ParticipantState::Active),
            disconnected_order: self.keys.order(id, ParticipantState::Disconnected),
            recorder_order: self.keys.recorder_order(id),
            hidden_order: self.keys.hidden_order(id),
            from: lexical_bound("-", after),
            limit,
            state: filter.state,
            kind: filter.kind.map(KindFilter::as_str),
            shows_hidden: filter.shows_hidden,
        };
        type Answer = (Option<String>, Vec<String>, String);
        let (cursor, found, next): Answer = self.run_bulk("participants", call).await?;
        let cursor = cursor.ok_or(StoreError::NotFound)?;
        Ok(ParticipantsPage {
            participants: codec::participants(&found)?,
            cursor: cursor.parse().map_err(|_| corrupt("cursor"))?,
            next: Some(next).filter(|next| !next.is_empty()),
        })
    }
}

#[async_trait]
impl StreamStore for RedisStore {
    fn place(&self, id: StreamId, room: &RoomName) -> StreamId {
        self.partitioning.place(id, room)
    }

    async fn time_of(&self, _: StreamId) -> Result<Timestamp, StoreError> {
        self.now().await
    }

    async fn create(&self, new: NewStream) -> Result<CreateOutcome, StoreError> {
        let reference = StreamRef { id: new.id, room_name: new.room_name };
        let (keys, args) = self.change_values(&reference, &Guard::default());
        let create = Create {
            room_name: reference.room_name,
            metadata: new.metadata.as_text().to_owned(),
            max_participants: new.max_participants,
            idle_after_ms: new.idle_after,
            audience: new.audience.audience.as_str(),
            listed_max: new.audience.listed_max,
            backstage: new.backstage,
        };
        let answer: Vec<String> = self.run("create", create.prepare().call(keys, args)).await?;
        if answer == ["room_locked"] {
            return Ok(CreateOutcome::RoomNameLocked);
        }
        let [outcome, detail, ..] = &answer[..] else { return Err(corrupt("a script's answer")) };
        if outcome != "existing" {
            return codec::stream_from_json(detail).map(CreateOutcome::Created);
        }
        let id = detail.parse().map_err(|_| corrupt("room"))?;
        // The stream expired after the script had read its id; the caller may repeat the call.
        let gone =
            || StoreError::Unavailable("the stream that held the room name has just expired".to_owned());
        self.get(id).await?.map(CreateOutcome::Existing).ok_or_else(gone)
    }

    async fn apply(&self, stream: &StreamRef, change: Change, guard: Guard) -> Result<Applied, StoreError> {
        self.apply_change(stream, change, guard).await
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

    async fn view(&self, id: StreamId) -> Result<Option<SharedState<StreamView>>, StoreError> {
        if let Some(view) = self.cached_if_current(&self.caches.views, id).await? {
            return Ok(Some(view));
        }
        let call = StreamViewCall {
            stream: self.keys.stream(id),
            participants: self.keys.participants(id),
            joining_order: self.keys.order(id, ParticipantState::Joining),
            active_order: self.keys.order(id, ParticipantState::Active),
            disconnected_order: self.keys.order(id, ParticipantState::Disconnected),
            limit: MAX_LISTED_PARTICIPANTS,
        };
        let (fields, entries, has_more): (Fields, Vec<String>, bool) = self.run("view", call).await?;
        if fields.is_empty() {
            return Ok(None);
        }
        let (cursor, participants) = (codec::cursor_of(&fields)?, codec::participants(&entries)?);
        let version = StateVersion::from_fields(&fields);
        let view = StreamView::new(codec::stream(&fields)?, participants, has_more, cursor);
        Ok(Some(self.caches.views.insert(id, version, view)))
    }

    async fn list(
        &self,
        filter: StreamFilter,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<SharedState<Stream>>, StoreError> {
        let index = match filter {
            StreamFilter::All => self.keys.all_streams(),
            StreamFilter::NotStopped => self.keys.live_streams(),
            StreamFilter::Status(status) => self.keys.streams_in(status),
        };
        let page = self.list_page(index, lexical_bound("+", after), limit).await?;
        let mut listed = Vec::with_capacity(page.items.len());
        for (key, version) in &page.items {
            let id =
                key.split_once(':').and_then(|(_, id)| id.parse().ok()).ok_or_else(|| corrupt("list"))?;
            listed.push((id, version.as_ref().and_then(|version| self.caches.streams.get(id, version))));
        }
        let missing: Vec<_> =
            listed.iter().filter(|(_, cached)| cached.is_none()).map(|(id, _)| *id).collect();
        let mut read = self.read_streams(&missing).await?.into_iter().peekable();
        // The entry of an expired stream is omitted; a later sweep removes it from the list.
        let items = listed
            .into_iter()
            .filter_map(|(id, cached)| cached.or_else(|| read.next_if(|stream| stream.id == id)));
        Ok(Page { items: items.collect(), next: page.next })
    }

    async fn participants(
        &self,
        id: StreamId,
        filter: ParticipantFilter,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Participant>, StoreError> {
        let page = self.read_participants(id, filter, limit, after).await?;
        Ok(Page { items: page.participants, next: page.next })
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

    async fn block(&self, id: StreamId, identity: &str) -> Result<Option<Block>, StoreError> {
        let mut command = redis::cmd("HGET");
        command.arg(self.keys.blocks(id)).arg(identity);
        let found: Option<String> = self.query("block", &command).await?;
        found.map(|json| codec::block(identity, &json)).transpose()
    }

    async fn blocks(
        &self,
        id: StreamId,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Block>, StoreError> {
        let (blocks, blocks_order) = (self.keys.blocks(id), self.keys.blocks_order(id));
        let call = ListBlocks { blocks, blocks_order, from: lexical_bound("-", after), limit };
        let answer: Vec<String> = self.run_bulk("blocks", call).await?;
        let (next, blocks) = answer.split_first().ok_or_else(|| corrupt("a script's answer"))?;
        let (blocks, _) = blocks.as_chunks();
        let items = blocks.iter().map(|[identity, json]| codec::block(identity, json));
        let next = Some(next.clone()).filter(|next| !next.is_empty());
        Ok(Page { items: items.collect::<Result<_, _>>()?, next })
    }

    async fn blocked(&self, id: StreamId, identities: &[&Identity]) -> Result<Vec<bool>, StoreError> {
        let mut command = redis::cmd("HMGET");
        command.arg(self.keys.blocks(id));
        identities.iter().for_each(|identity| {
            command.arg(identity.as_str());
        });
        let found: Vec<Option<String>> = self.query("blocked", &command).await?;
        Ok(found.iter().map(Option::is_some).collect())
    }

    async fn ingress(&self, id: StreamId, ingress: &IngressId) -> Result<Option<Ingress>, StoreError> {
        self.read_ingress(id, ingress).await
    }

    async fn ingresses(&self, id: StreamId) -> Result<StreamIngresses, StoreError> {
        self.read_ingresses(id).await
    }

    async fn egress(&self, id: StreamId, egress: &EgressId) -> Result<Option<Egress>, StoreError> {
        self.read_egress(id, egress).await
    }

    async fn egresses(&self, id: StreamId) -> Result<StreamEgresses, StoreError> {
        self.read_egresses(id).await
    }

    async fn egress_addresses(
        &self,
        id: StreamId,
        egress: &EgressId,
    ) -> Result<BTreeMap<TargetId, RtmpAddress>, StoreError> {
        self.read_egress_addresses(id, egress).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        let mut commands = redis::pipe();
        commands.get(self.keys.participant_total());
        for status in StreamStatus::ALL {
            commands.zcard(self.keys.streams_in(status));
        }
        let answers: Vec<Option<i64>> = self.pipeline("totals", &commands, Traffic::Interactive).await?;
        let mut numbers = answers.into_iter().map(|number| number.unwrap_or_default());
        let mut next = || numbers.next().and_then(|number| u64::try_from(number).ok()).unwrap_or_default();
        let participants = next();
        let streams = StreamStatus::ALL.into_iter().map(|status| (status, next())).collect();
        Ok(Totals { streams, participants })
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // PING would not suffice: a cluster that is down answers it, and so does a Redis that forbids scripts.
        let call = PositionBeforeNewest { log: self.keys.log(Topic::All), count: 0, from: "+".to_owned() };
        let _: redis::Value = self.run("ping", call).await?;
        Ok(())
    }
}
