//! Names of the keys of a stream's media jobs.

use super::{
    super::script_keys::{
        EGRESS_ADDRESSES_SUFFIX, EGRESS_PLANS_SUFFIX, EGRESSES_SUFFIX, INGRESS_PLANS_SUFFIX, INGRESSES_SUFFIX,
    },
    Keys,
};
use crate::domain::StreamId;

impl Keys {
    /// Hash of a stream's ingresses.
    pub fn ingresses(&self, id: StreamId) -> String {
        self.part(id, INGRESSES_SUFFIX)
    }

    /// Hash of a stream's intents to create ingresses.
    pub fn ingress_plans(&self, id: StreamId) -> String {
        self.part(id, INGRESS_PLANS_SUFFIX)
    }

    /// Hash of a stream's recordings and broadcasts.
    pub fn egresses(&self, id: StreamId) -> String {
        self.part(id, EGRESSES_SUFFIX)
    }

    /// Hash of a stream's intents to start recordings and broadcasts.
    pub fn egress_plans(&self, id: StreamId) -> String {
        self.part(id, EGRESS_PLANS_SUFFIX)
    }

    /// Hash of the whole addresses of a stream's RTMP targets.
    pub fn egress_addresses(&self, id: StreamId) -> String {
        self.part(id, EGRESS_ADDRESSES_SUFFIX)
    }
}
