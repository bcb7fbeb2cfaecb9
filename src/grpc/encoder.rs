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
    domain::{Event, Metadata, PartialStream, StreamId},
    orchestrator::{Orchestrator, ReadGrant},
    relay::ResetPart,
};

/// Encoder of one feed.
pub trait Encoder: Send + 'static {
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
    /// Metadata that was read for an event without it. Valid until an event carries metadata, because each change of
    /// the metadata has such an event. One stream's only, so that a feed of all streams holds little memory.
    known: Option<(StreamId, MetadataMap)>,
}

impl Updates {
    /// Creates the encoder of a feed with this grant.
    pub fn new(orchestrator: Arc<Orchestrator>, grant: ReadGrant) -> Self {
        Self { orchestrator, grant, known: None }
    }

    async fn metadata(&mut self, stream: &PartialStream) -> Result<MetadataMap, Status> {
        if let Some(carried) = &stream.metadata {
            self.known = None;
            return Ok(convert::metadata(carried.as_text()));
        }
        if let Some((id, known)) = &self.known
            && *id == stream.id
        {
            return Ok(known.clone());
        }
        let read = self.orchestrator.metadata(&self.grant, stream.id).await.map_err(use_case_status)?;
        let read = read.as_ref().map(Metadata::as_text).map(convert::metadata).unwrap_or_default();
        self.known = Some((stream.id, read.clone()));
        Ok(read)
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
