//! Changes of a stream's metadata and status.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{error::Error, find::permit, service::Orchestrator};
use crate::{
    access::{Action, Caller},
    domain::{Change, MetadataPatch, Rejection, StopReason, Stream, StreamStatus},
    store::{DedupKey, Guard, StoreError},
};

/// Time for which a change of metadata is retried while concurrent changes precede it.
const PATCH_WAIT: Duration = Duration::from_secs(5);
/// Maximum pause before each of these retries.
const PATCH_PAUSE: Duration = Duration::from_millis(20);

/// Change of a stream.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    /// JSON Merge Patch (RFC 7396) of the metadata.
    pub metadata: Option<MetadataPatch>,
    /// Required status. Only `stopped` is a change; the current status has no effect.
    pub status: Option<StreamStatus>,
    /// Required version of the stream before the change.
    pub version: Option<u64>,
    /// Key under which the change is made at most once.
    pub dedup_key: Option<DedupKey>,
}

impl Orchestrator {
    /// Changes a stream's metadata, then its status.
    ///
    /// # Errors
    /// [`Rejection::VersionMismatch`] if the stream has another version than the required one;
    /// [`Rejection::InvalidTransition`] for a status that a caller cannot set; [`Error::Forbidden`] if the caller may
    /// not make the change; [`Error::OperationInProgress`] if concurrent changes precede this one for 5 s.
    #[tracing::instrument(level = "debug", skip_all, fields(caller = caller.identity(), stream = %stream.id))]
    pub async fn patch(&self, caller: &Caller, stream: Stream, patch: Patch) -> Result<Stream, Error> {
        let stops = stops(&stream, patch.status)?;
        if stops {
            permit(caller, Action::Stop, &stream.room_name)?;
        }
        let guard = Guard { version: patch.version, dedup_key: patch.dedup_key, ..Guard::default() };
        match patch.metadata {
            Some(metadata) => {
                permit(caller, Action::Update, &stream.room_name)?;
                let changed = self.change_metadata(stream, &metadata, guard).await?;
                // The version and the deduplication key belong to the first change.
                if stops {
                    self.stop_for(&changed, StopReason::Requested, Guard::default()).await
                } else {
                    Ok(changed)
                }
            }
            None if stops => self.stop_for(&stream, StopReason::Requested, guard).await,
            None => require_version(stream, guard.version),
        }
    }

    /// Merges a patch into the metadata, again after each concurrent change, and sends the result to LiveKit.
    async fn change_metadata(
        &self,
        stream: Stream,
        patch: &MetadataPatch,
        guard: Guard,
    ) -> Result<Stream, Error> {
        let reference = stream.reference();
        let mut current = stream;
        let deadline = Instant::now() + PATCH_WAIT;
        while Instant::now() < deadline {
            let merged = current.metadata.merged(patch).map_err(|_| Error::MetadataTooLarge)?;
            let change = Change::SetMetadata { expected: current.metadata, metadata: merged };
            match self.store.apply(&reference, change, guard.clone()).await {
                Err(StoreError::Rejected(Rejection::MetadataChanged)) => {
                    // The random pause separates requests that collided.
                    let share = fastrand::f64();
                    sleep(PATCH_PAUSE.mul_f64(share)).await;
                    current = self.store.get(reference.id).await?.ok_or(StoreError::NotFound)?;
                }
                Err(error) => return Err(error.into()),
                Ok(applied) => {
                    self.copy_metadata(&applied.stream).await;
                    return Ok(applied.stream);
                }
            }
        }
        Err(Error::OperationInProgress("concurrent changes of the metadata"))
    }
}

/// Reports whether the required status stops the stream.
fn stops(stream: &Stream, status: Option<StreamStatus>) -> Result<bool, Error> {
    match status {
        Some(StreamStatus::Stopped) => Ok(true),
        Some(to) if to != stream.status => {
            Err(Rejection::InvalidTransition { from: stream.status, to }.into())
        }
        _ => Ok(false),
    }
}

/// Returns the stream if it has the required version.
fn require_version(stream: Stream, version: Option<u64>) -> Result<Stream, Error> {
    if version.is_some_and(|required| !stream.accepted_versions().contains(&required)) {
        return Err(Rejection::VersionMismatch { current: stream.version }.into());
    }
    Ok(stream)
}
