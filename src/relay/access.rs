//! Access of participants to the feeds that they follow: a feed ends when its participant is blocked.
//!
//! The hub reports the event of a block, and a reset, behind which a lost block may be. The feeds concerned then ask
//! the store, so that a block that has ended by then ends no feed.

use std::{
    collections::HashMap,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::subscriber::Ended;
use crate::{
    domain::{Event, EventKind, Identity, StreamId, Topic},
    orchestrator::ReadGrant,
};

type Key = (StreamId, Identity);
/// The participants of one stream that follow it, with the signal to their feeds.
type Participants = HashMap<Identity, watch::Sender<()>>;

/// Participants that follow their streams on this instance. Clones share one registry.
#[derive(Clone, Default)]
pub(super) struct AccessRegistry(Arc<Mutex<HashMap<StreamId, Participants>>>);

impl AccessRegistry {
    fn lock(&self) -> MutexGuard<'_, HashMap<StreamId, Participants>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, (stream, identity): Key) -> watch::Receiver<()> {
        let mut streams = self.lock();
        let participants = streams.entry(stream).or_default();
        participants.entry(identity).or_insert_with(|| watch::channel(()).0).subscribe()
    }

    /// Lets the feeds of a blocked participant check their access.
    pub(super) fn on_event(&self, event: &Event) {
        let Some(identity) = &event.draft.identity else { return };
        if event.draft.kind == EventKind::ParticipantBlocked
            && let Some(feeds) =
                self.lock().get(&event.stream_id()).and_then(|participants| participants.get(identity))
        {
            feeds.send_replace(());
        }
    }

    /// Lets all feeds of participants of a stream check their access, because events were lost.
    pub(super) fn on_reset(&self, topic: Topic) {
        let Topic::Stream(id) = topic else { return };
        let streams = self.lock();
        streams.get(&id).into_iter().flat_map(HashMap::values).for_each(|feeds| {
            feeds.send_replace(());
        });
    }

    /// Forgets a participant without feeds.
    fn forget_unused(&self, (stream, identity): &Key) {
        let mut streams = self.lock();
        let Some(participants) = streams.get_mut(stream) else { return };
        if participants.get(identity).is_some_and(|feeds| feeds.receiver_count() == 0) {
            participants.remove(identity);
        }
        if participants.is_empty() {
            streams.remove(stream);
        }
    }
}

/// Access of one feed.
pub(super) struct Access {
    /// `None` for a reader that is no participant, whose access does not end.
    participant: Option<Participant>,
}

struct Participant {
    grant: ReadGrant,
    registry: AccessRegistry,
    key: Key,
    signal: Option<watch::Receiver<()>>,
    /// True until the store has told whether the participant is blocked.
    must_check: bool,
}

impl Access {
    /// Returns the access of a reader that is no participant.
    pub(super) const fn unlimited() -> Self {
        Self { participant: None }
    }

    /// Begins to watch the access of a grant, before the feed reads anything.
    pub(super) fn of(grant: &ReadGrant, registry: &AccessRegistry) -> Self {
        let participant = grant.participant().map(|(id, identity)| {
            let key = (id, identity.clone());
            let signal = Some(registry.watch(key.clone()));
            Participant { grant: grant.clone(), registry: registry.clone(), key, signal, must_check: false }
        });
        Self { participant }
    }

    /// Asks for a check, because the stream has blocks: the participant may have been blocked between the check of its
    /// grant and the start of the watch.
    pub(super) const fn suspect(&mut self) {
        if let Some(participant) = &mut self.participant {
            participant.must_check = true;
        }
    }

    /// Waits for a signal to check the access. The future does not borrow the access.
    pub(super) fn signal(&self) -> impl Future<Output = ()> + Send + use<> {
        let signal = self.participant.as_ref().and_then(|participant| participant.signal.clone());
        async move {
            let Some(mut signal) = signal else { return pending().await };
            if signal.changed().await.is_err() {
                pending::<()>().await;
            }
        }
    }

    /// Checks the access if a signal asks for it; returns the end of the feed if the access has ended.
    ///
    /// Cancellation safe: an interrupted check is repeated.
    pub(super) async fn check(&mut self) -> Option<Ended> {
        let participant = self.participant.as_mut()?;
        if let Some(signal) =
            participant.signal.as_mut().filter(|signal| signal.has_changed().is_ok_and(|is| is))
        {
            signal.borrow_and_update();
            participant.must_check = true;
        }
        if !participant.must_check {
            return None;
        }
        let ended = match participant.grant.has_ended().await {
            Ok(false) => None,
            Ok(true) => Some(Ended::Blocked),
            Err(error) => {
                tracing::warn!(%error, "blocks not read; the feed of a participant ends");
                Some(Ended::Unavailable)
            }
        };
        participant.must_check = false;
        ended
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        self.signal = None;
        self.registry.forget_unused(&self.key);
    }
}

#[cfg(test)]
mod tests;
