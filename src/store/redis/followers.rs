//! Records of followers: a hash for each, and a hash of their ids.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{
    client::RedisStore,
    codec::corrupt,
    scripts::{PositionAt, SaveFollower},
};
use crate::{
    domain::{Cursor, Topic},
    store::{FollowerChange, FollowerRecord, Followers, Job, SaveOutcome, StoreError},
};

/// Field with the generation of a record.
const GENERATION: &str = "generation";
/// Maximum number of fields in one call, because Lua's stack bounds the arguments of a script.
const FIELDS: usize = 250;

impl RedisStore {
    async fn save_fields(
        &self,
        id: &str,
        change: &FollowerChange,
        expected: Option<u64>,
        fields: &[(String, String)],
    ) -> Result<SaveOutcome, StoreError> {
        let fields = fields.iter().flat_map(|(name, value)| [name.clone(), value.clone()]);
        let call = SaveFollower {
            follower: self.keys.follower(id),
            followers: self.keys.followers(),
            lease: self.keys.lease(change.lease.as_ref().map_or(Job::SendWebhooks, |lease| lease.job)),
            id: id.to_owned(),
            lease_token: change.lease.as_ref().map(|lease| lease.token.clone()),
            expected,
            generation: change.generation,
            fields: fields.collect(),
        };
        let outcome: String = self.run_bulk("save_follower", call).await?;
        match outcome.as_str() {
            "saved" => Ok(SaveOutcome::Saved),
            "lease_lost" => Ok(SaveOutcome::LeaseLost),
            "superseded" => Ok(SaveOutcome::Superseded),
            _ => Err(corrupt("save_follower")),
        }
    }
}

#[async_trait]
impl Followers for RedisStore {
    async fn followers(&self) -> Result<Vec<String>, StoreError> {
        let mut command = redis::cmd("HGETALL");
        command.arg(self.keys.followers());
        let ids: BTreeMap<String, String> = self.query("followers", &command).await?;
        Ok(ids.into_keys().collect())
    }

    async fn follower(&self, id: &str) -> Result<Option<FollowerRecord>, StoreError> {
        let mut command = redis::cmd("HGETALL");
        command.arg(self.keys.follower(id));
        let mut fields: BTreeMap<String, String> = self.query("follower", &command).await?;
        let Some(generation) = fields.remove(GENERATION) else { return Ok(None) };
        let generation = generation.parse().map_err(|_| corrupt("follower"))?;
        Ok(Some(FollowerRecord { generation, fields }))
    }

    async fn follower_field(&self, id: &str, name: &str) -> Result<Option<String>, StoreError> {
        let mut command = redis::cmd("HGET");
        command.arg(self.keys.follower(id)).arg(name);
        self.query("follower_field", &command).await
    }

    async fn save(&self, id: &str, change: FollowerChange) -> Result<SaveOutcome, StoreError> {
        let (mut expected, mut rest) = (change.expected, &change.fields[..]);
        loop {
            let (page, next) = rest.split_at(rest.len().min(FIELDS));
            let outcome = self.save_fields(id, &change, expected, page).await?;
            if next.is_empty() || outcome != SaveOutcome::Saved {
                return Ok(outcome);
            }
            (expected, rest) = (Some(change.generation), next);
        }
    }

    async fn remove_follower(&self, id: &str) -> Result<(), StoreError> {
        let unlinked = self.query("remove_follower", redis::cmd("UNLINK").arg(self.keys.follower(id))).await;
        let _: i64 = unlinked?;
        self.query("remove_follower", redis::cmd("HDEL").arg(self.keys.followers()).arg(id)).await
    }

    async fn position_at(&self, at: Option<Cursor>) -> Result<Cursor, StoreError> {
        let call = PositionAt {
            events: self.keys.log(Topic::All),
            tail: self.keys.tail(),
            at: at.map_or_else(|| "+".to_owned(), |at| at.to_string()),
        };
        let position: String = self.run("position_at", call).await?;
        position.parse().map_err(|_| corrupt("cursor"))
    }

    async fn keep_after(&self, position: Cursor) -> Result<(), StoreError> {
        let mut command = redis::cmd("SET");
        command.arg(self.keys.events_kept_after()).arg(position.to_string());
        let ttl = u64::try_from(self.retention.live.as_millis()).unwrap_or(u64::MAX);
        self.query("keep_after", command.arg("PX").arg(ttl)).await
    }
}
