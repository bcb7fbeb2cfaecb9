//! The commands beside the service itself: `healthcheck` asks a running instance, `check` tries the configuration.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use crate::{
    app::App,
    diagnosis::{Finding, Verdict},
    domain::RoomName,
    orchestrator::CHECK_ROOM,
    rooms::{Rooms, livekit::LiveKitRooms},
    settings::Settings,
    store::{Coordination, redis::RedisStore},
    telemetry::Metrics,
};

/// How long an instance may take to say whether it is ready; shorter than what a container's `HEALTHCHECK` waits.
const READY_TIMEOUT: Duration = Duration::from_millis(2_500);
/// How long to wait for a webhook: LiveKit tries again after 1, 2, 4 and 8 seconds.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(10);
const WEBHOOK_POLL: Duration = Duration::from_millis(50);

/// Asks the instance at this address whether it is ready.
///
/// # Errors
/// Why it is not, in words.
pub async fn healthcheck(address: SocketAddr) -> Result<(), String> {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    let uri = format!("http://{address}/health/ready").parse().map_err(|_| "no such address".to_owned())?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    match timeout(READY_TIMEOUT, client.get(uri)).await {
        Ok(Ok(answer)) if answer.status().is_success() => Ok(()),
        Ok(Ok(answer)) => Err(format!("{address} is not ready: {}", answer.status())),
        Ok(Err(error)) => Err(format!("{address} does not answer: {error}")),
        Err(_) => Err(format!("{address} does not answer in time")),
    }
}

/// Tries the settings against Redis and LiveKit and tells `tell` what it finds, each as soon as it is known. With
/// `webhooks` it waits for one of LiveKit's as well. Says whether anything is wrong.
pub async fn check(settings: &Settings, webhooks: bool, mut tell: impl FnMut(&Finding)) -> bool {
    let mut wrong = false;
    let mut told = |findings: Vec<Finding>| {
        findings.iter().for_each(&mut tell);
        let bad = findings.iter().any(|finding| finding.verdict == Verdict::Wrong);
        wrong |= bad;
        !bad
    };
    let Ok(metrics) = Metrics::new().map(std::sync::Arc::new) else { return true };
    let store = match &settings.redis {
        Some(redis) => {
            let store = RedisStore::new(&redis.address, &redis.prefix, settings.retention, metrics.clone());
            store
                .map_err(|error| told(vec![Finding::wrong("Redis", format!("cannot be addressed: {error}"))]))
                .ok()
        }
        None => {
            told(vec![Finding::doubtful("Redis", "is not used: state is kept in memory, as --dev has it")]);
            None
        }
    };
    let redis_works = match &store {
        Some(store) => told(store.diagnose().await),
        None => false,
    };
    let livekit = &settings.livekit;
    let rooms = LiveKitRooms::new(&livekit.url, livekit.key.clone(), metrics);
    let Ok(room) = RoomName::parse(format!("{CHECK_ROOM}{}", Uuid::now_v7())) else { return true };
    // Before the room is made, so that its webhook finds somebody.
    let listener = if webhooks && redis_works { Listener::start(settings).await } else { None };
    if told(rooms.diagnose(&room).await) && webhooks {
        told(vec![match store.filter(|_| redis_works) {
            Some(store) => webhook(&store, &room, listener.is_some()).await,
            None => Finding::doubtful("Webhooks", "cannot be waited for without Redis"),
        }]);
    }
    if let Err(error) = rooms.delete(&room).await {
        tracing::debug!(%error, "the room of a check could not be deleted; it closes by itself");
    }
    if let Some(listener) = listener {
        listener.stop().await;
    }
    wrong
}

/// Waits until any instance has noted the room's webhook in Redis.
async fn webhook(store: &RedisStore, room: &RoomName, own: bool) -> Finding {
    const WEBHOOKS: &str = "Webhooks";
    let begun = Instant::now();
    while begun.elapsed() < WEBHOOK_TIMEOUT {
        if store.is_noted(room).await.unwrap_or(false) {
            let millis = begun.elapsed().as_millis();
            return Finding::fine(
                WEBHOOKS,
                format!("LiveKit's arrive, signed with the key, within {millis} ms"),
            );
        }
        sleep(WEBHOOK_POLL).await;
    }
    let listened = if own { "at HOST and PORT" } else { "at the instance that has PORT, and at all others" };
    Finding::wrong(
        WEBHOOKS,
        format!(
            "none came in {} s {listened}: LiveKit's `webhook` needs `api_key` (LIVEKIT_API_KEY) and in `urls` this \
             service's /webhooks/livekit",
            WEBHOOK_TIMEOUT.as_secs()
        ),
    )
}

/// An instance for the time of the check, where none runs at the address of the settings. It listens and does nothing of
/// its own accord: what is being checked may be the wrong LiveKit for the streams that Redis holds.
struct Listener {
    stop: oneshot::Sender<()>,
    running: tokio::task::JoinHandle<()>,
}

impl Listener {
    async fn start(settings: &Settings) -> Option<Self> {
        // Fails where the port is taken: then there is an instance already.
        let app = App::build(Settings { jobs: false, ..settings.clone() }).await.ok()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            let until = async {
                // Also when the sender is gone.
                let _ = stopped.await;
            };
            if let Err(error) = app.run_until(until).await {
                tracing::debug!(%error, "the instance of a check has ended");
            }
        });
        Some(Self { stop, running })
    }

    async fn stop(self) {
        // It may have ended by itself.
        let _ = self.stop.send(());
        let _ = self.running.await;
    }
}
