//! Reads of a stream's media jobs.

use std::collections::BTreeMap;

use super::{
    client::RedisStore,
    codec::{self, Fields},
    connection::Traffic,
};
use crate::{
    domain::{
        Egress, EgressId, Ingress, IngressId, RtmpAddress, StreamEgresses, StreamId, StreamIngresses,
        TargetId,
    },
    store::StoreError,
};

impl RedisStore {
    async fn field(
        &self,
        name: &'static str,
        key: String,
        field: &str,
    ) -> Result<Option<String>, StoreError> {
        self.query(name, redis::cmd("HGET").arg(key).arg(field)).await
    }

    /// Reads two hashes in one call: `plans` first, so that an intent whose job is recorded in between is in both.
    async fn plans_and_records(
        &self,
        name: &'static str,
        [plans, records]: [String; 2],
    ) -> Result<(Fields, Fields), StoreError> {
        let mut commands = redis::pipe();
        commands.hgetall(plans).hgetall(records);
        self.pipeline(name, &commands, Traffic::Interactive).await
    }

    pub(super) async fn read_ingress(
        &self,
        id: StreamId,
        ingress: &IngressId,
    ) -> Result<Option<Ingress>, StoreError> {
        let found = self.field("ingress", self.keys.ingresses(id), ingress.as_str()).await?;
        found.as_deref().map(codec::ingress).transpose()
    }

    pub(super) async fn read_ingresses(&self, id: StreamId) -> Result<StreamIngresses, StoreError> {
        let keys = [self.keys.ingress_plans(id), self.keys.ingresses(id)];
        let (plans, ingresses) = self.plans_and_records("ingresses", keys).await?;
        Ok(StreamIngresses {
            ingresses: ingresses.values().map(|json| codec::ingress(json)).collect::<Result<_, _>>()?,
            plans: plans.values().map(|json| codec::ingress_plan(json)).collect::<Result<_, _>>()?,
        })
    }

    pub(super) async fn read_egress(
        &self,
        id: StreamId,
        egress: &EgressId,
    ) -> Result<Option<Egress>, StoreError> {
        let found = self.field("egress", self.keys.egresses(id), egress.as_str()).await?;
        found.as_deref().map(codec::egress).transpose()
    }

    pub(super) async fn read_egresses(&self, id: StreamId) -> Result<StreamEgresses, StoreError> {
        let keys = [self.keys.egress_plans(id), self.keys.egresses(id)];
        let (plans, egresses) = self.plans_and_records("egresses", keys).await?;
        Ok(StreamEgresses {
            egresses: egresses.values().map(|json| codec::egress(json)).collect::<Result<_, _>>()?,
            plans: plans.values().map(|json| codec::egress_plan(json)).collect::<Result<_, _>>()?,
        })
    }

    pub(super) async fn read_egress_addresses(
        &self,
        id: StreamId,
        egress: &EgressId,
    ) -> Result<BTreeMap<TargetId, RtmpAddress>, StoreError> {
        let found = self.field("egress_addresses", self.keys.egress_addresses(id), egress.as_str()).await?;
        found.as_deref().map_or_else(|| Ok(BTreeMap::new()), codec::addresses)
    }
}
