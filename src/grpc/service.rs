//! The calls of `StreamService`.

use std::sync::Arc;

use prost::Message as _;
use tonic::{Request, Response, Status};

use super::{
    body::Unsent,
    convert,
    deadline::Deadline,
    encoder::{Encoder, Events, Updates},
    feed::{self, Messages},
    interceptor,
    known_states::KnownStates,
    proto::{
        GetStreamStateRequest, StreamEvent, StreamState, StreamUpdate, StreamUpdatesRequest,
        SubscribeRequest, stream_service_server::StreamService,
    },
    status::{status, store_status, use_case_status},
};
use crate::{
    access::{Action, Caller},
    admission::{Admission, FeedPermit, ReadMeter, RequestContext},
    domain::{Cursor, ErrorCode},
    orchestrator::{Orchestrator, ReadGrant},
    relay::{Client, Relay, Start, Subscription, Transport},
};

/// Implementation of `StreamService`. Clones share the parts of the instance.
#[derive(Clone)]
pub struct Service {
    pub(crate) orchestrator: Arc<Orchestrator>,
    pub(crate) relay: Relay,
    pub(crate) admission: Arc<Admission>,
    pub(crate) known_states: Arc<KnownStates>,
}

/// Actions of which a caller needs one to open a feed. The topic of the request decides which one is checked later.
const FOLLOW: &[Action] = &[Action::Read, Action::FollowAll];

impl Service {
    async fn grant(&self, caller: &Caller, stream_id: &str) -> Result<ReadGrant, Status> {
        if stream_id.is_empty() {
            return self.orchestrator.grant_all(caller).map_err(use_case_status);
        }
        self.orchestrator.grant_stream(caller, stream_id).await.map_err(use_case_status)
    }

    /// Counts a new feed of the caller and returns its permit and its deadline, at most the expiry of the caller's
    /// token.
    fn open_feed<T>(
        &self,
        context: &RequestContext,
        request: &Request<T>,
    ) -> Result<(FeedPermit, Deadline), Status> {
        let permit = self.admission.open_feed(context);
        let permit = permit.ok_or_else(|| status(ErrorCode::TooManyFeeds, None))?;
        let lifetime = self.relay.lifetime().within(context.token_lifetime());
        Ok((permit, Deadline::of(request.metadata(), lifetime)))
    }

    /// Subscribes, and charges what is read for the subscription.
    async fn follow(
        &self,
        context: &RequestContext,
        grant: &ReadGrant,
        start: Start,
    ) -> Result<(Subscription, ReadMeter), Status> {
        let client = Client::new(Transport::Grpc);
        let mut subscription = self.relay.subscribe(grant, start, &client).await.map_err(store_status)?;
        let mut meter = self.admission.read_meter(context);
        meter.charge(subscription.take_read_bytes()).await;
        Ok((subscription, meter))
    }
}

impl Service {
    /// Returns the response of a feed.
    fn messages<E: Encoder>(
        &self,
        source: (Subscription, ReadMeter),
        feed: (FeedPermit, Deadline),
        encoder: E,
    ) -> Response<Messages<E::Output>> {
        let (from, unsent) = (source.0.from(), Unsent::new(self.relay.budget().clone()));
        let budget = (self.relay.budget().clone(), unsent.clone());
        let mut response = response_from(from, feed::messages(source, feed, budget, encoder));
        response.extensions_mut().insert(unsent);
        response
    }
}

fn start(after: &str) -> Result<Start, Status> {
    if after.is_empty() {
        return Ok(Start::Now);
    }
    let invalid = |_| {
        status(ErrorCode::InvalidCursor, Some("after is not a cursor that this service gave out".to_owned()))
    };
    after.parse().map(Start::After).map_err(invalid)
}

/// Initial metadata with the cursor after which a feed begins. A client without any message resumes from it.
const CURSOR: &str = "cursor";

fn response_from<T>(from: Cursor, messages: T) -> Response<T> {
    let mut response = Response::new(messages);
    if let Ok(cursor) = from.to_string().parse() {
        response.metadata_mut().insert(CURSOR, cursor);
    }
    response
}

/// The calls of an admitted caller.
impl Service {
    async fn open_updates(
        &self,
        context: RequestContext,
        request: Request<StreamUpdatesRequest>,
    ) -> Result<Response<Messages<StreamUpdate>>, Status> {
        let feed = self.open_feed(&context, &request)?;
        let StreamUpdatesRequest { stream_id, after } = request.into_inner();
        let grant = self.grant(&context.caller, &stream_id).await?;
        let resumed = start(&after)?;
        let (first, from) = if resumed == Start::Now {
            // The snapshot's cursor makes the events after it follow without a gap or a duplicate.
            let snapshot = self.relay.snapshot(&grant).await.map_err(store_status)?;
            (Some(snapshot.clone()), Start::After(snapshot.cursor()))
        } else {
            (None, resumed)
        };
        let (subscription, mut meter) = self.follow(&context, &grant, from).await?;
        meter.charge(first.as_ref().map_or(0, |snapshot| snapshot.bytes())).await;
        let source = (self.orchestrator.clone(), self.relay.clone());
        let encoder = Updates::new(source, grant, self.known_states.clone(), first);
        Ok(self.messages((subscription, meter), feed, encoder))
    }

    async fn state(
        &self,
        context: RequestContext,
        request: Request<GetStreamStateRequest>,
    ) -> Result<Response<StreamState>, Status> {
        let stream_id = request.into_inner().stream_id;
        if stream_id.is_empty() {
            return Err(status(ErrorCode::ValidationFailed, Some("stream_id is required".to_owned())));
        }
        let view = self.orchestrator.view(&context.caller, &stream_id).await.map_err(use_case_status)?;
        let state = convert::state(&view);
        self.admission.charge_read(&context.limit_key, state.encoded_len() as u64).await;
        Ok(Response::new(state))
    }

    async fn open_events(
        &self,
        context: RequestContext,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Messages<StreamEvent>>, Status> {
        let feed = self.open_feed(&context, &request)?;
        let SubscribeRequest { stream_id, after } = request.into_inner();
        let grant = self.grant(&context.caller, &stream_id).await?;
        let (subscription, meter) = self.follow(&context, &grant, start(&after)?).await?;
        Ok(self.messages((subscription, meter), feed, Events))
    }
}

#[tonic::async_trait]
impl StreamService for Service {
    type StreamUpdatesStream = Messages<StreamUpdate>;
    type SubscribeStream = Messages<StreamEvent>;

    async fn stream_updates(
        &self,
        request: Request<StreamUpdatesRequest>,
    ) -> Result<Response<Self::StreamUpdatesStream>, Status> {
        let service = self.clone();
        let execute = |context, request| async move { service.open_updates(context, request).await };
        interceptor::read(&self.admission, request, FOLLOW, execute).await
    }

    async fn get_stream_state(
        &self,
        request: Request<GetStreamStateRequest>,
    ) -> Result<Response<StreamState>, Status> {
        let service = self.clone();
        let execute = |context, request| async move { service.state(context, request).await };
        interceptor::read(&self.admission, request, &[Action::Read], execute).await
    }

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let service = self.clone();
        let execute = |context, request| async move { service.open_events(context, request).await };
        interceptor::read(&self.admission, request, FOLLOW, execute).await
    }
}
