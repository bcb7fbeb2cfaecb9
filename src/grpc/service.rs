//! The three calls.

use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, StreamExt, stream};
use prost::Message;
use tokio::time::timeout_at;
use tonic::{Request, Response, Status};

use super::{
    convert,
    deadline::Deadline,
    interceptor::admit,
    proto::{
        GetStreamStateRequest, StreamEvent, StreamState, StreamUpdate, StreamUpdatesRequest,
        SubscribeRequest, stream_service_server::StreamService,
    },
    status::{of_end, of_error, of_store, status},
};
use crate::{
    access::{Action, Caller},
    admission::{Admission, Asking, Permit},
    domain::{Cursor, ErrorCode},
    orchestrator::{Orchestrator, permit_some},
    relay::{Client, Delivery, EventFrame, Relay, ResetFrame, Start, Subscription, Transport},
    store::Topic,
};

/// What the calls work with.
#[derive(Clone)]
pub struct Service {
    /// The use cases.
    pub orchestrator: Arc<Orchestrator>,
    /// This instance's clients.
    pub relay: Relay,
    /// The door that every call passes.
    pub admission: Arc<Admission>,
}

/// Who may follow anything at all; what exactly is looked at with the stream.
const FOLLOW: &[Action] = &[Action::Read, Action::FollowAll];

type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Service {
    async fn topic(&self, caller: &Caller, stream_id: &str) -> Result<Topic, Status> {
        if stream_id.is_empty() {
            permit_some(caller, Action::FollowAll).map_err(of_error)?;
            return Ok(Topic::All);
        }
        let stream = self.orchestrator.find(caller, Action::Read, stream_id).await.map_err(of_error)?;
        Ok(Topic::Stream(stream.id))
    }

    /// A place for a feed of this caller, and when it ends by itself: not later than their token.
    fn open_feed<T>(&self, asking: &Asking, request: &Request<T>) -> Result<(Permit, Deadline), Status> {
        let permit = self.admission.open_feed(asking);
        let permit = permit.ok_or_else(|| status(ErrorCode::TooManyFeeds, None))?;
        let lifetime = self.relay.lifetime().within(asking.remaining());
        Ok((permit, Deadline::of(request.metadata(), lifetime)))
    }

    async fn follow(&self, topic: Topic, start: Start) -> Result<Subscription, Status> {
        self.relay.subscribe(topic, start, &Client::new(Transport::Grpc)).await.map_err(of_store)
    }
}

fn start(after: &str) -> Result<Start, Status> {
    if after.is_empty() {
        return Ok(Start::Now);
    }
    let refused = |_| {
        status(ErrorCode::InvalidCursor, Some("after is not a cursor that this service gave out".to_owned()))
    };
    after.parse().map(Start::After).map_err(refused)
}

/// The initial metadata that names the cursor a feed begins after, so that a client that sees no message can resume too.
const CURSOR: &str = "cursor";

fn answer<T>(from: Cursor, messages: T) -> Response<T> {
    let mut response = Response::new(messages);
    if let Ok(cursor) = from.to_string().parse() {
        response.metadata_mut().insert(CURSOR, cursor);
    }
    response
}

/// A subscription as messages, until it ends or its deadline is over. Dropping the stream releases the subscription and
/// its admission permit.
fn messages<T: Message + 'static>(
    subscription: Subscription,
    (permit, deadline): (Permit, Deadline),
    event: fn(&EventFrame) -> T,
    reset: fn(&ResetFrame) -> T,
) -> Messages<T> {
    Box::pin(stream::unfold(Some((subscription, permit)), move |feed| async move {
        let (mut subscription, permit) = feed?;
        // A feed that never pauses has an end too.
        if deadline.is_over() {
            return Some((Err(deadline.status()), None));
        }
        let message = match timeout_at(deadline.at(), subscription.next()).await {
            Ok(Delivery::Event(frame)) => event(&frame),
            Ok(Delivery::Reset(frame)) => reset(&frame),
            Ok(Delivery::Ended(reason)) => return of_end(reason).map(|status| (Err(status), None)),
            Err(_) => return Some((Err(deadline.status()), None)),
        };
        subscription.sent(message.encoded_len());
        Some((Ok(message), Some((subscription, permit))))
    }))
}

#[tonic::async_trait]
impl StreamService for Service {
    type StreamUpdatesStream = Messages<StreamUpdate>;
    type SubscribeStream = Messages<StreamEvent>;

    async fn stream_updates(
        &self,
        request: Request<StreamUpdatesRequest>,
    ) -> Result<Response<Self::StreamUpdatesStream>, Status> {
        let asking = admit(&self.admission, &request, FOLLOW).await?;
        let place = self.open_feed(&asking, &request)?;
        let StreamUpdatesRequest { stream_id, after } = request.into_inner();
        let topic = self.topic(&asking.caller, &stream_id).await?;
        let resumed = start(&after)?;
        let (first, from) = if resumed == Start::Now {
            // The state and what follows it: the snapshot's own cursor leaves nothing out and doubles nothing.
            let snapshot = self.relay.feed().snapshot(topic).await.map_err(of_store)?;
            (convert::first_updates(&snapshot), Start::After(snapshot.cursor))
        } else {
            (Vec::new(), resumed)
        };
        let subscription = self.follow(topic, from).await?;
        let cursor = subscription.from();
        let event = |frame: &EventFrame| convert::update(frame.event());
        let rest = messages(subscription, place, event, convert::reset_update);
        Ok(answer(cursor, Box::pin(stream::iter(first.into_iter().map(Ok)).chain(rest))))
    }

    async fn get_stream_state(
        &self,
        request: Request<GetStreamStateRequest>,
    ) -> Result<Response<StreamState>, Status> {
        let asking = admit(&self.admission, &request, &[Action::Read]).await?;
        let stream_id = request.into_inner().stream_id;
        if stream_id.is_empty() {
            return Err(status(ErrorCode::ValidationFailed, Some("stream_id is required".to_owned())));
        }
        let view = self.orchestrator.view(&asking.caller, &stream_id).await.map_err(of_error)?;
        Ok(Response::new(convert::state(&view)))
    }

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let asking = admit(&self.admission, &request, FOLLOW).await?;
        let place = self.open_feed(&asking, &request)?;
        let SubscribeRequest { stream_id, after } = request.into_inner();
        let topic = self.topic(&asking.caller, &stream_id).await?;
        let subscription = self.follow(topic, start(&after)?).await?;
        let event = |frame: &EventFrame| convert::event(frame.event());
        Ok(answer(subscription.from(), messages(subscription, place, event, convert::reset_event)))
    }
}
