//! The use cases of a process that crashes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use livestream_orchestrator::{media::MediaJobs, rooms::Rooms, store::PartitionStore, telemetry::Metrics};

use super::{Crashing, Process};
use crate::{fake_livekit::POLICY, service::Service};

/// The use cases of an instance that is this process.
pub fn crashing_service(
    process: &Arc<Process>,
    store: Arc<dyn PartitionStore>,
    (rooms, media): (Arc<dyn Rooms>, Arc<dyn MediaJobs>),
) -> Service {
    let store = Crashing { process: process.clone(), inner: store };
    let rooms = Crashing { process: process.clone(), inner: rooms };
    let media = Crashing { process: process.clone(), inner: media };
    Service::new(Arc::new(store), Arc::new(rooms), Arc::new(media), POLICY, Arc::new(Metrics::new().unwrap()))
}
