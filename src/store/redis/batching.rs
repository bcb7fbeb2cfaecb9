//! Group commit: changes of one stream that arrive at about the same time are one script call.
//!
//! The first change is called at once. Changes that arrive during its call share the next one. After a call with
//! several changes the next one waits until [`INTERVAL`] has passed since, or enough changes have arrived. A change
//! without others before it is not delayed.
//!
//! A common call has the effects of calls one after another, in the order of arrival. Each change has its own outcome,
//! and all share the stream as of the end of the call. The script ends after a failed change and after large
//! participants; the changes that it has not begun are the first ones of the next call. A failed change is called again
//! alone, and so is every change if the script refuses a common call.
//!
//! Cancellation safe: a task makes the common calls, so cancelling one caller does not cancel the changes of others.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::{
    batches::{Arrival, Item, Waiting},
    changes::{applied, applied_in_batch, prepared},
    client::RedisStore,
    codec::{self, corrupt},
    scripts::{PreparedChange, batch_call, is_batched},
};
use crate::{
    domain::{Change, StreamRef},
    store::{Applied, DedupKey, Guard, StoreError},
};

/// Time between the beginnings of two calls of a stream, where changes arrive at the same time.
const INTERVAL: Duration = Duration::from_millis(8);

impl RedisStore {
    /// Applies a change, in one call with others where possible.
    ///
    /// # Errors
    /// As [`crate::store::StreamStore::apply`].
    pub(super) async fn apply_change(
        &self,
        stream: &StreamRef,
        change: Change,
        guard: Guard,
    ) -> Result<Applied, StoreError> {
        let (name, change) = prepared(change, stream.id);
        if guard.version.is_some() || guard.lease.is_some() || !is_batched(&change) {
            return self.call_alone(name, stream, &change, &guard).await;
        }
        match self.batches.arrive(stream.id, Item { change, dedup_key: guard.dedup_key.clone() }) {
            Arrival::First(item) => {
                let _call = FirstCall { store: self, stream };
                self.call_alone(name, stream, &item.change, &guard).await
            }
            Arrival::Queued(answer) => answer.await.unwrap_or_else(|_| Err(lost_outcome())),
        }
    }

    async fn call_alone(
        &self,
        name: &'static str,
        stream: &StreamRef,
        change: &PreparedChange,
        guard: &Guard,
    ) -> Result<Applied, StoreError> {
        let (keys, args) = self.change_values(stream, guard);
        let answer: Vec<String> = self.run(name, change.call(keys, args)).await?;
        applied(&answer)
    }

    async fn call_item(&self, stream: &StreamRef, item: Item) -> Result<Applied, StoreError> {
        let guard = Guard { dedup_key: item.dedup_key, ..Guard::default() };
        self.call_alone(item.change.name(), stream, &item.change, &guard).await
    }

    /// Returns the outcomes of the changes that a common call has begun; `None` for one that must be called alone.
    async fn call_together(
        &self,
        stream: &StreamRef,
        batch: &[Waiting],
    ) -> Result<Vec<Option<Result<Applied, StoreError>>>, StoreError> {
        let (keys, args) = self.change_values(stream, &Guard::default());
        let changes =
            batch.iter().map(|one| (&one.item.change, self.dedup_texts(one.item.dedup_key.as_ref())));
        let answer: Vec<Vec<String>> = self.run("batch", batch_call(changes, keys, args)).await?;
        outcomes(&answer, batch.len())
    }

    fn dedup_texts(&self, dedup_key: Option<&DedupKey>) -> [String; 2] {
        let texts = dedup_key.map(|key| [self.keys.dedup(key), key.ttl().as_millis().to_string()]);
        texts.unwrap_or_default()
    }

    async fn apply_batch(&self, stream: &StreamRef, mut batch: Vec<Waiting>) {
        let outcomes = match self.call_together(stream, &batch).await {
            Ok(outcomes) => outcomes,
            Err(error) => batch.iter().map(|_| Some(Err(error.clone()))).collect(),
        };
        self.batches.put_back(stream.id, batch.split_off(outcomes.len()));
        // Calls alone keep the order, because one connection sends them.
        join_all(
            batch.into_iter().zip(outcomes).map(|(waiting, outcome)| self.complete(stream, waiting, outcome)),
        )
        .await;
    }

    async fn complete(
        &self,
        stream: &StreamRef,
        Waiting { item, answer, .. }: Waiting,
        outcome: Option<Result<Applied, StoreError>>,
    ) {
        let outcome = match outcome {
            Some(outcome) => outcome,
            None => self.call_item(stream, item).await,
        };
        // The caller may be cancelled.
        let _ = answer.send(outcome);
    }
}

/// The error for a change whose call has no outcome or has not begun in time. It may have been applied.
fn lost_outcome() -> StoreError {
    StoreError::Unavailable(
        "no outcome of a change in a call of several changes; repeat the request".to_owned(),
    )
}

/// Decodes the answer of a batch of `count` changes. It has fewer outcomes if the script has not begun all.
fn outcomes(
    answer: &[Vec<String>],
    count: usize,
) -> Result<Vec<Option<Result<Applied, StoreError>>>, StoreError> {
    let (head, rest) = answer.split_first().ok_or_else(|| corrupt("a script's answer"))?;
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let stream = match head[..] {
        ["not_found"] => return Err(StoreError::NotFound),
        ["refused"] => return Ok((0..count).map(|_| None).collect()),
        ["batch", stream] if (1..=count).contains(&rest.len()) => codec::stream_from_json(stream)?,
        _ => return Err(corrupt("a script's answer")),
    };
    let outcome =
        |outcome: &Vec<String>| (outcome != &["failed"]).then(|| applied_in_batch(outcome, &stream));
    Ok(rest.iter().map(outcome).collect())
}

/// The call of a stream's first change. Its end begins the calls of those that have arrived meanwhile.
struct FirstCall<'a> {
    store: &'a RedisStore,
    stream: &'a StreamRef,
}

impl Drop for FirstCall<'_> {
    fn drop(&mut self) {
        if !self.store.batches.remove_if_empty(self.stream.id) {
            let task =
                BatchTask { store: self.store.clone(), stream: self.stream.clone(), is_finished: false };
            self.store.runtime.spawn(task.run());
        }
    }
}

/// The calls of a stream's changes that have waited, until none waits.
struct BatchTask {
    store: RedisStore,
    stream: StreamRef,
    is_finished: bool,
}

impl BatchTask {
    async fn run(mut self) {
        let id = self.stream.id;
        // The numbers of changes of the last two calls.
        let (mut last, mut before) = (1, 1);
        let mut next_at = Instant::now();
        loop {
            if last.max(before) > 1 {
                let _ = timeout_at(next_at, self.store.batches.wait_for_target(id)).await;
            }
            if self.store.batches.remove_if_empty(id) {
                self.is_finished = true;
                return;
            }
            next_at = Instant::now() + INTERVAL;
            let batch = self.store.batches.take(id);
            (last, before) = (batch.len(), last);
            self.apply_taken(batch).await;
        }
    }

    async fn apply_taken(&self, mut batch: Vec<Waiting>) {
        match batch.len() {
            0 => {}
            1 => {
                let Waiting { item, answer, .. } = batch.remove(0);
                let _ = answer.send(self.store.call_item(&self.stream, item).await);
            }
            _ => self.store.apply_batch(&self.stream, batch).await,
        }
    }
}

impl Drop for BatchTask {
    /// Answers the callers of changes that wait with an error, if the task ends early: at a shutdown or by a panic.
    fn drop(&mut self) {
        if !self.is_finished {
            self.store.batches.remove(self.stream.id);
        }
    }
}
