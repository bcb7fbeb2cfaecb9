//! Encoders: what each kind of feed sends for an event and for a reset.

use std::{future::Future, sync::Arc};

use prost::Message;
use tonic::Status;

use super::{
    convert,
    known_metadata::{KnownMetadata, MetadataMap},
    proto::{StreamEvent, StreamUpdate},
    status::use_case_status,
};
use crate::{
    domain::{Event, Metadata, PartialStream, StreamId},
    orchestrator::{Orchestrator, ReadGrant},
    relay::ResetPart,
};

/// Encoder of one feed.
pub trait Encoder: Send + Sync + 'static {
    /// The messages of the feed.
    type Output: Message + 'static;

    /// Returns the message of an event.
    ///
    /// # Errors
    /// The status with which the feed ends.
    fn event(&mut self, event: &Event) -> impl Future<Output = Result<Self::Output, Status>> + Send;

    /// Returns the message of a part of a reset.
    fn reset(&mut self, part: &ResetPart) -> Self::Output;

    /// Returns the number of bytes that were read for this feed alone since the last call.
    fn take_read_bytes(&mut self) -> usize {
        0
    }
}

/// Encoder of `Subscribe`.
pub struct Events;

impl Encoder for Events {
    type Output = StreamEvent;

    async fn event(&mut self, event: &Event) -> Result<StreamEvent, Status> {
        Ok(convert::event(event))
    }

    fn reset(&mut self, part: &ResetPart) -> StreamEvent {
        convert::reset_event(part)
    }
}

/// Encoder of `StreamUpdates`. Every update has the stream's metadata.
pub struct Updates {
    orchestrator: Arc<Orchestrator>,
    grant: ReadGrant,
    known: Arc<KnownMetadata>,
    /// Bytes that were read for this feed since [`Encoder::take_read_bytes`].
    read_bytes: usize,
}

impl Updates {
    /// Creates the encoder of a feed with this grant.
    pub const fn new(orchestrator: Arc<Orchestrator>, grant: ReadGrant, known: Arc<KnownMetadata>) -> Self {
        Self { orchestrator, grant, known, read_bytes: 0 }
    }

    async fn metadata(&mut self, stream: &PartialStream) -> Result<Arc<MetadataMap>, Status> {
        let (id, seq) = (stream.id, stream.version);
        let metadata = match &stream.metadata {
            Some(carried) => Arc::new(convert::metadata(carried.as_text())),
            None => match self.known.at(id, seq) {
                Some(known) => return Ok(known),
                None => Arc::new(self.read(id).await?),
            },
        };
        self.known.record(id, seq, metadata.clone());
        Ok(metadata)
    }

    async fn read(&mut self, id: StreamId) -> Result<MetadataMap, Status> {
        let read = self.orchestrator.metadata(&self.grant, id).await.map_err(use_case_status)?;
        let text = read.as_ref().map(Metadata::as_text).unwrap_or_default();
        self.read_bytes += text.len();
        Ok(convert::metadata(text))
    }
}

impl Encoder for Updates {
    type Output = StreamUpdate;

    async fn event(&mut self, event: &Event) -> Result<StreamUpdate, Status> {
        let metadata = self.metadata(&event.draft.stream).await?;
        Ok(convert::update(event, MetadataMap::clone(&metadata)))
    }

    fn reset(&mut self, part: &ResetPart) -> StreamUpdate {
        convert::reset_update(part)
    }

    fn take_read_bytes(&mut self) -> usize {
        std::mem::take(&mut self.read_bytes)
    }
}
