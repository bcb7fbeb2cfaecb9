//! The store's time, read seldom.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::Instant};

use crate::{domain::Timestamp, store::FollowedPartition};

/// Time for which a reading is continued by this machine's clock.
const LIFETIME: Duration = Duration::from_millis(250);

/// The clock of a partition, which all followers on this instance share.
pub struct SharedClock {
    partition: Arc<dyn FollowedPartition>,
    last: Mutex<Option<(Timestamp, Instant)>>,
}

impl SharedClock {
    /// Reads nothing yet.
    pub fn of(partition: Arc<dyn FollowedPartition>) -> Self {
        Self { partition, last: Mutex::default() }
    }

    /// Returns the store's time, from a reading that is continued for `LIFETIME`. While the store does not answer,
    /// the last reading is continued; without any, the result is the time 0.
    pub async fn now(&self) -> Timestamp {
        let mut last = self.last.lock().await;
        if let Some((time, at)) = *last
            && at.elapsed() < LIFETIME
        {
            return time.plus(at.elapsed());
        }
        if let Ok(time) = self.partition.now().await {
            *last = Some((time, Instant::now()));
        }
        last.map_or(Timestamp::from_millis(0), |(time, at)| time.plus(at.elapsed()))
    }
}
