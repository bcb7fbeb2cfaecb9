//! Test of LiveKit's webhooks: waits until an instance has recorded one about the test room.

use std::time::Duration;

use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::finding::{Finding, Subject};
use crate::{app::App, orchestrator::WebhookProbe, settings::Settings};

/// Maximum time to wait for the webhook. LiveKit repeats an unanswered one after 1, 2, 4 and 8 seconds.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Polls until any instance has received the webhook of `probe`.
///
/// `is_temporary` says whether the receiving instance is the [`TemporaryInstance`] of this process.
pub(super) async fn await_webhook(probe: &WebhookProbe, is_temporary: bool) -> Finding {
    let started = Instant::now();
    while started.elapsed() < WEBHOOK_TIMEOUT {
        if probe.has_arrived().await.unwrap_or(false) {
            let millis = started.elapsed().as_millis();
            return Subject::Webhooks
                .ok(format!("a webhook from LiveKit arrived within {millis} ms, with a valid signature"));
        }
        sleep(POLL_INTERVAL).await;
    }
    let receiver =
        if is_temporary { "at HOST and PORT" } else { "at the instance on PORT or at any other instance" };
    let seconds = WEBHOOK_TIMEOUT.as_secs();
    Subject::Webhooks.failure(format!(
        "no webhook arrived within {seconds} s {receiver}: set LiveKit's `webhook.api_key` to LIVEKIT_API_KEY, and add \
         this service's /webhooks/livekit to `webhook.urls`"
    ))
}

/// An instance that receives webhooks during the check, if no instance listens at the address of the settings.
///
/// It runs no jobs, because the LiveKit under test may not be the one of the streams in Redis.
pub(super) struct TemporaryInstance {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl TemporaryInstance {
    /// Starts the instance; `None` if it cannot start, normally because a running instance has the port.
    pub(super) async fn start(settings: &Settings) -> Option<Self> {
        let app = App::build(Settings { jobs: false, ..settings.clone() }).await.ok()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let stopped = async {
                // A dropped sender stops the instance too.
                let _ = stopped.await;
            };
            if let Err(error) = app.run_until(stopped).await {
                tracing::debug!(%error, "the temporary instance of a check failed");
            }
        });
        Some(Self { stop, task })
    }

    /// Stops the instance and waits for its end.
    pub(super) async fn stop(self) {
        // The instance may have ended before.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}
