//! An event feed: its subscription, and the encoding of its messages.

use std::rc::Rc;

use actix_web::web::Bytes;
use futures_util::FutureExt;

use crate::{
    admission::{ReadMeter, RequestContext},
    domain::{Cursor, Topic},
    http::{app_state::AppState, framing, hijack::ChunkedWriter, sse},
    orchestrator::ReadGrant,
    relay::{Delivery, Ended, LocalSubscription, Relay, ResetParts, Start, Subscription, Transport},
    store::StoreError,
};

/// Messages of an event feed: events, and resets in parts.
pub(super) struct Events {
    pub(super) subscription: Subscription<LocalSubscription>,
    /// Cursor after which the feed starts; `None` if the client's is malformed.
    pub(super) from: Option<Cursor>,
    meter: ReadMeter,
    /// Remaining parts of a reset.
    reset: Option<ResetParts>,
    /// For a feed of all streams, which waits for partitions that are down.
    merged: Option<Relay>,
}

impl Events {
    /// Subscribes through the local fan-out of this worker thread, and charges what is read meanwhile.
    pub(super) async fn open(
        api: &AppState,
        context: &RequestContext,
        grant: &ReadGrant,
        start: Start,
    ) -> Result<Self, StoreError> {
        let subscription =
            api.relay.subscribe_local(grant, start, Transport::Sse, framing::EVENT_ENCODER).await?;
        let meter = api.admission.read_meter(context);
        let from = (start != Start::Unknown).then(|| subscription.from());
        let merged = (grant.topic() == Topic::All).then(|| api.relay.clone());
        let mut events = Self { subscription, from, meter, reset: None, merged };
        events.meter.charge(events.subscription.take_read_bytes()).await;
        Ok(events)
    }

    fn encode(&mut self, delivery: Delivery) -> Result<Bytes, Ended> {
        match delivery {
            Delivery::Event(frame) => Ok(framing::event(&frame).clone()),
            Delivery::Reset(frame) => {
                let parts = self.reset.insert(ResetParts::of(frame));
                // A reset has at least one part.
                parts.next().map(|part| framing::reset(&part)).ok_or(Ended::Unavailable)
            }
            Delivery::Ended(reason) => Err(reason),
        }
    }
}

impl sse::MessageSource for Events {
    const TRANSPORT: Transport = Transport::Sse;

    fn attach(&mut self, writer: Rc<ChunkedWriter>) {
        self.subscription.attach(writer);
    }

    fn heartbeat(&self) -> Bytes {
        framing::heartbeat(&self.merged.as_ref().map(Relay::waiting_partitions).unwrap_or_default())
    }

    async fn next(&mut self) -> Result<Bytes, Ended> {
        let bytes = match self.reset.as_mut().and_then(Iterator::next) {
            Some(part) => framing::reset(&part),
            None => {
                let delivery = self.subscription.next().await;
                self.meter.add(self.subscription.take_read_bytes());
                self.encode(delivery)?
            }
        };
        self.subscription.sent(bytes.len());
        Ok(bytes)
    }

    fn ready(&mut self) -> Option<Result<Bytes, Ended>> {
        // Parts are written one by one. A read of the log would be cancelled at its first wait, and its work lost.
        let waits =
            self.reset.as_ref().is_some_and(ResetParts::has_next) || self.subscription.is_about_to_read();
        if waits { None } else { sse::MessageSource::next(self).now_or_never() }
    }
}
