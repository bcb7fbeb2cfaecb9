//! Records of followers in memory.

use async_trait::async_trait;

use super::state::MemoryStore;
use crate::{
    domain::Cursor,
    store::{FollowerChange, FollowerRecord, Followers, SaveOutcome, StoreError},
};

#[async_trait]
impl Followers for MemoryStore {
    async fn followers(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.current().0.followers.keys().cloned().collect())
    }

    async fn follower(&self, id: &str) -> Result<Option<FollowerRecord>, StoreError> {
        Ok(self.current().0.followers.get(id).cloned())
    }

    async fn follower_field(&self, id: &str, name: &str) -> Result<Option<String>, StoreError> {
        Ok(self.current().0.followers.get(id).and_then(|record| record.fields.get(name).cloned()))
    }

    async fn save(&self, id: &str, change: FollowerChange) -> Result<SaveOutcome, StoreError> {
        let (mut inner, now) = self.current();
        if change.lease.as_ref().is_some_and(|lease| !inner.holds(lease, now)) {
            return Ok(SaveOutcome::LeaseLost);
        }
        if inner.followers.get(id).map(|record| record.generation) != change.expected {
            return Ok(SaveOutcome::Superseded);
        }
        let record = inner.followers.entry(id.to_owned()).or_default();
        record.generation = change.generation;
        for (name, value) in change.fields {
            if value.is_empty() {
                record.fields.remove(&name);
            } else {
                record.fields.insert(name, value);
            }
        }
        Ok(SaveOutcome::Saved)
    }

    async fn remove_follower(&self, id: &str) -> Result<(), StoreError> {
        self.current().0.followers.remove(id);
        Ok(())
    }

    async fn position_at(&self, at: Option<Cursor>) -> Result<Cursor, StoreError> {
        let (inner, _) = self.current();
        let (events, at) = (inner.log.events(), at.unwrap_or(Cursor::GREATEST));
        let found = events.iter().rev().find(|event| event.cursor <= at).map(|event| event.cursor);
        let before_first = events.first().map(|event| event.previous_of_all);
        Ok(found.or(before_first).unwrap_or(inner.newest))
    }

    async fn keep_after(&self, position: Cursor) -> Result<(), StoreError> {
        self.current().0.kept_after = Some(position);
        Ok(())
    }
}
