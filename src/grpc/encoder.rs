//! Encoders: what each kind of feed sends for an event and for a reset.

use std::{collections::HashMap, future::Future, sync::Arc};

use prost::Message;
use tonic::Status;

use super::{
    convert,
    proto::{StreamEvent, StreamUpdate},
    status::use_case_status,
};
use crate::{
    domain::{Event, Metadata, PartialStream, StreamId, event::MAX_REPEATED_METADATA_BYTES},
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

type MetadataMap = HashMap<String, String>;

/// Encoder of `StreamUpdates`. Every update has the stream's metadata, which is read for an event without it.
pub struct Updates {
    orchestrator: Arc<Orchestrator>,
    grant: ReadGrant,
    /// The newest metadata that was read, or carried by an event, of a stream whose events may omit it. Each change of
    /// the metadata has an event that carries it. One stream's only, so that a feed of all streams holds little memory.
    known: Option<(StreamId, MetadataMap)>,
}

impl Updates {
    /// Creates the encoder of a feed with this grant.
    pub fn new(orchestrator: Arc<Orchestrator>, grant: ReadGrant) -> Self {
        Self { orchestrator, grant, known: None }
    }

    async fn metadata(&mut self, stream: &PartialStream) -> Result<MetadataMap, Status> {
        let known = self.known.take_if(|(id, _)| *id == stream.id);
        let metadata = match (&stream.metadata, known) {
            // Metadata of this size is carried by every event.
            (Some(carried), _) if carried.as_text().len() <= MAX_REPEATED_METADATA_BYTES => {
                return Ok(convert::metadata(carried.as_text()));
            }
            (Some(carried), _) => convert::metadata(carried.as_text()),
            (None, Some((_, known))) => known,
            (None, None) => self.read(stream.id).await?,
        };
        self.known = Some((stream.id, metadata.clone()));
        Ok(metadata)
    }

    async fn read(&self, id: StreamId) -> Result<MetadataMap, Status> {
        let read = self.orchestrator.metadata(&self.grant, id).await.map_err(use_case_status)?;
        Ok(read.as_ref().map(Metadata::as_text).map(convert::metadata).unwrap_or_default())
    }
}

impl Encoder for Updates {
    type Output = StreamUpdate;

    async fn event(&mut self, event: &Event) -> Result<StreamUpdate, Status> {
        let metadata = self.metadata(&event.draft.stream).await?;
        Ok(convert::update(event, metadata))
    }

    fn reset(&mut self, part: &ResetPart) -> StreamUpdate {
        self.known = None;
        convert::reset_update(part)
    }
}
