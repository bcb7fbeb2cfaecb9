//! Probe of a dependency for callers without a token, whose number must not matter.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Mutex, time::timeout};

/// Maximum time that a dependency has to answer before it counts as down.
const PROBE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Time for which the result of a probe is shared.
const PROBE_LIFETIME: Duration = Duration::from_secs(1);

/// Result of one probe at a time, shared for a second.
#[derive(Clone)]
pub struct Probe<T>(Arc<Mutex<Option<Probed<T>>>>);

/// Time and result of a probe.
type Probed<T> = (Instant, Option<T>);

impl<T> Default for Probe<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone + Send + 'static> Probe<T> {
    /// Returns the last result, or runs the probe if that is too old. `None` if the probe fails or takes longer than
    /// 1.5 s.
    ///
    /// Cancellation safe: a probe that runs is completed, also if its caller has gone, because a caller that connects
    /// and leaves would otherwise start a probe each time.
    pub async fn result(&self, probe: impl Future<Output = Option<T>> + Send + 'static) -> Option<T> {
        let last = self.0.clone();
        let run = tokio::spawn(async move {
            let mut last = last.lock().await;
            if let Some((at, result)) = &*last
                && at.elapsed() < PROBE_LIFETIME
            {
                return result.clone();
            }
            let result = timeout(PROBE_TIMEOUT, probe).await.unwrap_or_default();
            *last = Some((Instant::now(), result.clone()));
            result
        });
        run.await.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn probe_runs_once_for_concurrent_and_abandoned_callers() {
        let (probe, runs) = (Probe::default(), Arc::new(AtomicUsize::new(0)));
        let ask = || {
            let runs = runs.clone();
            probe.result(async move {
                runs.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Some(())
            })
        };
        for _ in 0..10 {
            // Polled once, then dropped.
            let _ = futures_util::poll!(Box::pin(ask()));
        }
        let results = futures_util::future::join_all((0..100).map(|_| ask())).await;
        assert!(results.into_iter().all(|result| result.is_some()));
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn probe_without_answer_is_down() {
        assert_eq!(Probe::<()>::default().result(std::future::pending()).await, None);
    }
}
