//! Changes and reads of streams in memory.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;

use super::state::{Entry, MemoryStore, log::Log};
use crate::{
    domain::{
        Aggregate, Block, Change, Cursor, Egress, EgressId, Identity, Ingress, IngressId, Participant,
        ParticipantUpdate, Rejection, Removal, RoomName, RtmpAddress, Stream, StreamEgresses, StreamId,
        StreamIngresses, StreamRef, StreamStatus, StreamView, TargetId, Timestamp, change::Effect,
        event::Draft, stream::NewStream,
    },
    store::{
        Applied, CreateOutcome, Guard, Page, ParticipantFilter, SharedState, StateWithJson, StoreError,
        StreamFilter, StreamStore, Totals, VisitLogEntry,
    },
};

fn identity_of(change: &Change) -> Option<Identity> {
    match change {
        Change::IssueToken { identity, .. }
        | Change::Disconnect { identity, .. }
        | Change::Lose { identity, .. }
        | Change::UpdateParticipant(ParticipantUpdate { identity, .. })
        | Change::SetHand { identity, .. }
        | Change::Block { identity, .. }
        | Change::Unblock { identity, .. }
        | Change::BeginRemoval(Removal { identity, .. })
        | Change::CancelRemoval(Removal { identity, .. })
        | Change::Remove(Removal { identity, .. })
        | Change::Publish { identity, .. }
        | Change::Unpublish { identity, .. } => Some(identity.clone()),
        Change::Connect(session) | Change::Observe { session, .. } => Some(session.identity.clone()),
        _ => None,
    }
}

/// Reports whether these events end a stream for which a join token may still be valid. A stream that was never active
/// has no join tokens, so a room of its name belongs to another tool.
fn may_leave_tokens(drafts: &[Draft]) -> bool {
    drafts.iter().any(|draft| draft.stream.status.is_final() && draft.stream.room_sid.is_some())
}

impl Entry {
    /// Applies a change to a stream that has the required version.
    fn apply(
        &mut self,
        change: Change,
        version: Option<u64>,
        now: Timestamp,
        count_interval: Duration,
    ) -> Result<(Effect, Vec<Draft>), StoreError> {
        let stream = &self.aggregate.stream;
        if version.is_some_and(|required| !stream.accepted_versions().contains(&required)) {
            return Err(Rejection::VersionMismatch { current: stream.version }.into());
        }
        Ok(self.aggregate.apply(change, now, count_interval)?)
    }

    /// Returns the answer to a change of this stream, with the participant of this identity.
    fn applied(&self, effect: Effect, identity: Option<&Identity>) -> Applied {
        let Aggregate { stream, participants, .. } = &self.aggregate;
        let participant = identity.and_then(|identity| participants.get(identity).cloned());
        Applied { effect, stream: stream.clone(), participant, block: None }
    }
}

#[async_trait]
impl StreamStore for MemoryStore {
    fn place(&self, id: StreamId, _: &RoomName) -> StreamId {
        id
    }

    async fn time_of(&self, _: StreamId) -> Result<Timestamp, StoreError> {
        Ok(self.current().1)
    }

    async fn create(&self, new: NewStream) -> Result<CreateOutcome, StoreError> {
        let (mut inner, now) = self.current();
        if let Some(existing) = inner.streams.get(&new.id) {
            return Ok(CreateOutcome::Existing(existing.aggregate.stream.clone()));
        }
        if let Some(existing) = inner.live_owner(&new.room_name) {
            return Ok(CreateOutcome::Existing(existing));
        }
        if inner.closed_rooms.is_locked(&new.room_name, now) {
            return Ok(CreateOutcome::RoomNameLocked);
        }
        inner.closed_rooms.reopen(&new.room_name);
        let (id, room) = (new.id, new.room_name.clone());
        let (aggregate, draft) = Aggregate::create(new, now);
        let stream = aggregate.stream.clone();
        inner.rooms.insert(room, id);
        inner.streams.insert(id, Entry { aggregate, log: Log::default(), newest: Cursor::ORIGIN });
        inner.publish(id, vec![draft], &self.retention.log, now);
        Ok(CreateOutcome::Created(stream))
    }

    async fn apply(&self, stream: &StreamRef, change: Change, guard: Guard) -> Result<Applied, StoreError> {
        let (mut inner, now) = self.current();
        if guard.lease.as_ref().is_some_and(|lease| !inner.holds(lease, now)) {
            return Err(StoreError::LeaseLost);
        }
        let is_duplicate = guard.dedup_key.as_ref().is_some_and(|key| inner.dedup_keys.contains_key(key));
        let kept = inner.streams.get_mut(&stream.id).ok_or(StoreError::NotFound)?;
        let identity = identity_of(&change);
        let blocked = identity.clone().filter(|_| matches!(change, Change::Block { .. }));
        let (effect, drafts) = if is_duplicate {
            (Effect::Duplicate, Vec::new())
        } else {
            kept.apply(change, guard.version, now, self.retention.count_interval)?
        };
        let mut applied = kept.applied(effect, identity.as_ref());
        if let Some(blocked) = blocked.filter(|_| !is_duplicate) {
            applied.block = kept.aggregate.blocks.get(&blocked).cloned();
        }
        let visits = kept.aggregate.take_visits().into_iter().map(VisitLogEntry::Visit);
        let recordings = kept.aggregate.take_late_recordings().into_iter();
        let recordings = recordings.map(|late| VisitLogEntry::Recording(stream.id, Box::new(late)));
        if self.retention.keeps_visits {
            let now_ms = u64::try_from(now.as_millis()).unwrap_or_default();
            let max = self.retention.log.of_all_streams().max_events;
            inner.visits.append(visits.chain(recordings), now_ms, max);
        }
        if may_leave_tokens(&drafts) {
            inner.closed_rooms.close(stream.room_name.clone(), now.plus(self.retention.tokens));
        }
        inner.publish(stream.id, drafts, &self.retention.log, now);
        inner.dedup_keys.extend(guard.dedup_key.map(|key| (key, stream.id)));
        Ok(applied)
    }

    async fn get(&self, id: StreamId) -> Result<Option<Stream>, StoreError> {
        let (inner, _) = self.current();
        Ok(inner.streams.get(&id).map(|kept| kept.aggregate.stream.clone()))
    }

    async fn reference(&self, id: StreamId) -> Result<Option<StreamRef>, StoreError> {
        let (inner, _) = self.current();
        Ok(inner.streams.get(&id).map(|kept| kept.aggregate.stream.reference()))
    }

    async fn id_of_room(&self, room: &RoomName) -> Result<Option<StreamId>, StoreError> {
        Ok(self.current().0.rooms.get(room).copied())
    }

    async fn view(&self, id: StreamId) -> Result<Option<SharedState<StreamView>>, StoreError> {
        let (inner, _) = self.current();
        Ok(inner.streams.get(&id).map(Entry::view).map(StateWithJson::shared))
    }

    async fn list(
        &self,
        filter: StreamFilter,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<SharedState<Stream>>, StoreError> {
        let (inner, _) = self.current();
        let streams = inner.streams.values().map(|kept| &kept.aggregate.stream);
        let mut shown: Vec<_> = streams.filter(|stream| filter_shows(filter, stream.status)).collect();
        shown.sort_by_key(|stream| std::cmp::Reverse(stream.list_key()));
        let earlier = |stream: &Stream| after.is_none_or(|after| stream.list_key().as_str() < after);
        let Page { items, next } = page(shown, limit, earlier, Stream::list_key);
        Ok(Page { items: items.into_iter().map(StateWithJson::shared).collect(), next })
    }

    async fn participants(
        &self,
        id: StreamId,
        filter: ParticipantFilter,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Participant>, StoreError> {
        let (inner, _) = self.current();
        let kept = inner.streams.get(&id).ok_or(StoreError::NotFound)?;
        let mut shown = kept.aggregate.ordered();
        shown.retain(|participant| filter.shows(participant));
        let later = |entry: &Participant| after.is_none_or(|after| entry.list_key().as_str() > after);
        Ok(page(shown, limit, later, Participant::list_key))
    }

    async fn unlisted(&self, id: StreamId, identity: &str) -> Result<Option<Participant>, StoreError> {
        let (inner, _) = self.current();
        let mut unlisted =
            inner.streams.get(&id).into_iter().flat_map(|kept| kept.aggregate.unlisted.values());
        Ok(unlisted.find(|entry| entry.identity.as_str() == identity).cloned())
    }

    async fn participant(&self, id: StreamId, identity: &str) -> Result<Option<Participant>, StoreError> {
        let (inner, _) = self.current();
        let kept = inner.streams.get(&id);
        let known = kept
            .and_then(|kept| kept.aggregate.participants.values().find(|p| p.identity.as_str() == identity));
        Ok(known.cloned())
    }

    async fn block(&self, id: StreamId, identity: &str) -> Result<Option<Block>, StoreError> {
        let (inner, _) = self.current();
        Ok(inner.blocks(id).find(|block| block.identity.as_str() == identity).cloned())
    }

    async fn blocks(
        &self,
        id: StreamId,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Block>, StoreError> {
        let (inner, _) = self.current();
        let mut blocks: Vec<_> = inner.blocks(id).collect();
        blocks.sort_by_cached_key(|block| block.list_key());
        let later = |block: &Block| after.is_none_or(|after| block.list_key().as_str() > after);
        Ok(page(blocks, limit, later, Block::list_key))
    }

    async fn blocked(&self, id: StreamId, identities: &[&Identity]) -> Result<Vec<bool>, StoreError> {
        let (inner, _) = self.current();
        let is_blocked = |identity: &&Identity| inner.blocks(id).any(|block| block.identity == **identity);
        Ok(identities.iter().map(is_blocked).collect())
    }

    async fn ingress(&self, id: StreamId, ingress: &IngressId) -> Result<Option<Ingress>, StoreError> {
        let (inner, _) = self.current();
        Ok(inner.streams.get(&id).and_then(|kept| kept.aggregate.ingresses.get(ingress).cloned()))
    }

    async fn ingresses(&self, id: StreamId) -> Result<StreamIngresses, StoreError> {
        let (inner, _) = self.current();
        Ok(inner.streams.get(&id).map(|kept| kept.aggregate.stream_ingresses()).unwrap_or_default())
    }

    async fn egress(&self, id: StreamId, egress: &EgressId) -> Result<Option<Egress>, StoreError> {
        let (inner, _) = self.current();
        Ok(inner.streams.get(&id).and_then(|kept| kept.aggregate.egresses.get(egress).cloned()))
    }

    async fn egresses(&self, id: StreamId) -> Result<StreamEgresses, StoreError> {
        let (inner, _) = self.current();
        Ok(inner.streams.get(&id).map(|kept| kept.aggregate.stream_egresses()).unwrap_or_default())
    }

    async fn egress_addresses(
        &self,
        id: StreamId,
        egress: &EgressId,
    ) -> Result<BTreeMap<TargetId, RtmpAddress>, StoreError> {
        let (inner, _) = self.current();
        let known = inner.streams.get(&id).and_then(|kept| kept.aggregate.egress_addresses.get(egress));
        Ok(known.cloned().unwrap_or_default())
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        let (inner, _) = self.current();
        let streams = || inner.streams.values().map(|kept| &kept.aggregate.stream);
        let count = |status: StreamStatus| streams().filter(|stream| stream.status == status).count() as u64;
        Ok(Totals {
            streams: StreamStatus::ALL.into_iter().map(|status| (status, count(status))).collect(),
            participants: streams().map(|stream| u64::from(stream.participant_count())).sum(),
        })
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn filter_shows(filter: StreamFilter, status: StreamStatus) -> bool {
    match filter {
        StreamFilter::All => true,
        StreamFilter::NotStopped => status != StreamStatus::Stopped,
        StreamFilter::Status(wanted) => status == wanted,
    }
}

fn page<T: Clone>(
    sorted: Vec<&T>,
    limit: usize,
    later: impl Fn(&T) -> bool,
    key: impl Fn(&T) -> String,
) -> Page<T> {
    let mut rest = sorted.into_iter().filter(|item| later(item)).peekable();
    let items: Vec<T> = rest.by_ref().take(limit).cloned().collect();
    let next = rest.peek().and(items.last()).map(key);
    Page { items, next }
}
