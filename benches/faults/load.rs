//! Load: writers that change the metadata of the listed streams through all instances.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::{Client, StatusCode};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{
    support::recording::now_millis,
    test_bed::{TestBed, create_stream},
};

const WRITERS: usize = 5;
/// Interval of each writer.
const INTERVAL: Duration = Duration::from_millis(100);
/// Changes a second of all writers together.
pub const CHANGES_PER_SECOND: usize = 50;

/// Running writers.
pub struct Load {
    is_over: Arc<AtomicBool>,
    /// Times at which changes were acknowledged, in milliseconds.
    acknowledged: Arc<Mutex<Vec<i64>>>,
    writers: JoinSet<()>,
}

/// Streams that a writer changes, shared with the other writers because a lost stream is replaced.
type Streams = Arc<Mutex<Vec<String>>>;

impl Load {
    /// Starts the writers. Each uses the instances in turn, so that it repeats a failed change at another instance.
    pub fn start(test_bed: &TestBed) -> Self {
        let (is_over, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<i64>>>::default());
        let mut writers = JoinSet::new();
        for first in 0..WRITERS {
            let urls: Vec<_> = test_bed.instances.iter().map(|instance| instance.address().http).collect();
            let (streams, is_over) = (test_bed.streams.clone(), is_over.clone());
            writers.spawn(write(first, urls, streams, is_over, acknowledged.clone()));
        }
        Self { is_over, acknowledged, writers }
    }

    /// Stops the writers. Returns the number of acknowledged changes and the longest time without one, in milliseconds.
    pub async fn stop(self) -> (usize, i64) {
        self.is_over.store(true, Ordering::Relaxed);
        self.writers.join_all().await;
        let mut acknowledged = self.acknowledged.lock().unwrap().clone();
        acknowledged.sort_unstable();
        let pause = acknowledged.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        (acknowledged.len(), pause)
    }
}

async fn write(
    first: usize,
    urls: Vec<String>,
    streams: Streams,
    is_over: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<i64>>>,
) {
    let client = Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = first;
    while !is_over.load(Ordering::Relaxed) {
        ticks.tick().await;
        number += 1;
        if change(&client, &urls[number % urls.len()], &streams, number).await {
            acknowledged.lock().unwrap().push(now_millis());
        }
    }
}

/// Changes a stream; returns whether the change was acknowledged. Replaces a stream that Redis has lost.
async fn change(client: &Client, url: &str, streams: &Streams, number: usize) -> bool {
    let (index, stream) = {
        let streams = streams.lock().unwrap();
        // All but the counted stream, whose counts would be told with its metadata.
        let index = 1 + number % (streams.len() - 1);
        (index, streams[index].clone())
    };
    let patch =
        json!({"metadata": {"n": number, "text": "about two hundred bytes, as apps have: ".repeat(4)}});
    let Ok(answer) = client.patch(format!("{url}/streams/{stream}")).json(&patch).send().await else {
        return false;
    };
    if answer.status() == StatusCode::NOT_FOUND
        && let Some(new) = create_stream(client, url, index).await
    {
        streams.lock().unwrap()[index] = new;
    }
    answer.status() == StatusCode::OK
}
