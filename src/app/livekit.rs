//! The backends of LiveKit: rooms and media jobs.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::timeout};

use crate::{
    media::{MediaJobs, livekit::LiveKitMedia, simulated::SimulatedMedia},
    orchestrator::MediaStorage,
    rooms::{RoomEvent, Rooms, livekit::LiveKitRooms, simulated::SimulatedRooms},
    settings::{EgressSettings, Settings},
    telemetry::Metrics,
};

/// Maximum time that dev mode waits for an answer of a LiveKit server.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Backends of one LiveKit deployment, or of a simulation.
pub(super) struct LiveKit {
    pub(super) rooms: Arc<dyn Rooms>,
    pub(super) media: Arc<dyn MediaJobs>,
    /// Receives the events of simulated rooms; `None` for a LiveKit server, which sends webhooks.
    pub(super) simulated_events: Option<mpsc::UnboundedReceiver<RoomEvent>>,
}

impl LiveKit {
    /// Connects to LiveKit. In dev mode, simulates it if no LiveKit server answers with the key.
    pub(super) async fn open(settings: &Settings, metrics: &Arc<Metrics>) -> Self {
        let livekit = &settings.livekit;
        let rooms = LiveKitRooms::new(&livekit.url, livekit.key.clone(), metrics.clone());
        if settings.dev && !matches!(timeout(PROBE_TIMEOUT, rooms.ping()).await, Ok(Ok(()))) {
            tracing::warn!(url = %livekit.url, "no LiveKit server answers: rooms are simulated in this process");
            let (rooms, events) = SimulatedRooms::new(livekit.key.clone());
            let media = Arc::new(SimulatedMedia::default());
            return Self { rooms: Arc::new(rooms), media, simulated_events: Some(events) };
        }
        let storage = settings.egress.storage.clone();
        let media = Arc::new(LiveKitMedia::new(&livekit.url, &livekit.key, storage, metrics.clone()));
        Self { rooms: Arc::new(rooms), media, simulated_events: None }
    }
}

/// Returns the storage of recordings and HLS, as the use cases know it.
pub(super) fn storage(settings: &EgressSettings) -> Option<MediaStorage> {
    let public_url = settings.public_url.clone();
    settings.storage.as_ref().map(|storage| MediaStorage::new(storage, public_url))
}
