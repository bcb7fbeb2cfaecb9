//! What a worker gets from its sender, and what it reports.

use std::sync::Arc;

use tokio::sync::watch;

use super::past::Source;
use crate::{
    delivery::EndpointClient,
    domain::Timestamp,
    followers::{RecentEvents, SharedClock},
    outbound_webhooks::directory::Directory,
    store::{FollowedPartition, Lease},
    telemetry::Metrics,
};

/// What a worker needs of its partition and of its instance.
#[derive(Clone)]
pub(in crate::outbound_webhooks) struct Context {
    pub(in crate::outbound_webhooks) partition: Arc<dyn FollowedPartition>,
    pub(in crate::outbound_webhooks) recent: Arc<RecentEvents>,
    pub(in crate::outbound_webhooks) clock: Arc<SharedClock>,
    pub(in crate::outbound_webhooks) lease: Lease,
    pub(in crate::outbound_webhooks) past: Source,
    pub(in crate::outbound_webhooks) client: Arc<dyn EndpointClient>,
    pub(in crate::outbound_webhooks) directory: Directory,
    pub(in crate::outbound_webhooks) metrics: Arc<Metrics>,
    /// Changes whenever the records of endpoints have changed.
    pub(in crate::outbound_webhooks) revision: watch::Receiver<u64>,
}

/// How far an endpoint is behind, as its worker sees it.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::outbound_webhooks) struct Lag {
    pub(in crate::outbound_webhooks) events: u64,
    pub(in crate::outbound_webhooks) oldest: Option<Timestamp>,
    pub(in crate::outbound_webhooks) is_failing: bool,
}
