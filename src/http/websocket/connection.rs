//! One WebSocket connection: its commands, its pings and its end.

use std::{collections::HashMap, time::Duration};

use actix_web::{rt, web::Data};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseReason, Closed, Session};
use futures_util::StreamExt;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{
    feed::Feed,
    messages::{self, Command, close, close_with_retry, protocol_error},
    outbox::Outbox,
    read_progress::ReadProgress,
};
use crate::{
    admission::{FeedPermit, RateLimitClass, ReadPermit, RequestContext},
    domain::ErrorCode,
    http::{
        app_state::AppState,
        hijack::ConnectionHandle,
        problem::{FieldError, Problem},
    },
    orchestrator::ReadGrant,
    relay::{Client, Ended, Lifetime, Start, Transport},
};

/// Interval of the server's pings.
const PING_INTERVAL: Duration = Duration::from_secs(25);
/// Number of pings without a message from the client after which the connection ends.
const MAX_UNANSWERED_PINGS: u32 = 3;
/// Maximum feeds of one connection.
const MAX_SUBSCRIPTIONS: usize = 100;
/// `streamId` of the feed of all streams.
const ALL_STREAMS: &str = "*";

/// State of a connection.
pub(super) struct Connection {
    api: Data<AppState>,
    outbox: Outbox,
    progress: ReadProgress,
    client: Client,
    /// Cancellation of each feed, by the client's name of the stream.
    feeds: HashMap<String, CancellationToken>,
    context: RequestContext,
    lifetime: Lifetime,
    unanswered_pings: u32,
    _permit: FeedPermit,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.feeds.values().for_each(CancellationToken::cancel);
    }
}

/// Pauses between pings; the first comes after one interval.
fn ping_interval() -> Interval {
    let mut ping = interval(PING_INTERVAL);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ping.reset();
    ping
}

impl Connection {
    pub(super) fn new(
        api: Data<AppState>,
        context: RequestContext,
        (session, handle): (Session, ConnectionHandle),
        lifetime: Lifetime,
        permit: FeedPermit,
    ) -> Self {
        let budget = api.relay.budget();
        let progress = ReadProgress::new(handle, budget.clone());
        let outbox = Outbox::new(session, progress.clone(), budget.clone());
        Self {
            api,
            outbox,
            progress,
            client: Client::new(Transport::WebSocket),
            feeds: HashMap::new(),
            context,
            lifetime,
            unanswered_pings: 0,
            _permit: permit,
        }
    }

    /// Serves the connection until either side ends it, then sends the close frame.
    pub(super) async fn run(mut self, messages: AggregatedMessageStream) {
        let hello = messages::connected(&self.api.instance.id);
        if self.outbox.send(hello).await.is_err() {
            return;
        }
        let close = self.serve(messages).await;
        let is_slow = self.progress.is_slow_client();
        let close = close.or_else(|| is_slow.then(|| close_with_retry(ErrorCode::SlowConsumer)));
        let outbox = self.outbox.clone();
        // Ends the feeds before the close frame.
        drop(self);
        outbox.close(close).await;
    }

    /// Returns the close frame; `None` if the connection is closed already, or ends because the client does not read.
    async fn serve(&mut self, mut messages: AggregatedMessageStream) -> Option<CloseReason> {
        let (progress, shutdown) = (self.progress.clone(), self.api.shutdown.clone());
        let lifetime = self.lifetime;
        let mut ping = ping_interval();
        loop {
            tokio::select! {
                () = progress.slow_client() => return None,
                () = shutdown.cancelled() => return Some(close_with_retry(ErrorCode::ShuttingDown)),
                () = lifetime.expired() => return Some(close_with_retry(expiry_code(lifetime.reason()))),
                _ = ping.tick() => self.ping().await.ok()?,
                message = messages.next() => match message {
                    Some(Ok(message)) => {
                        self.unanswered_pings = 0;
                        if let Err(close) = self.on_message(message).await {
                            return close;
                        }
                    }
                    Some(Err(error)) => return Some(protocol_error(&error)),
                    None => return None,
                }
            }
        }
    }

    /// Sends a ping, and the partitions that a feed of all streams waits for. Returns [`Closed`] if the client has not
    /// answered the last ones, or does not read.
    async fn ping(&mut self) -> Result<(), Closed> {
        self.unanswered_pings += 1;
        if self.unanswered_pings > MAX_UNANSWERED_PINGS {
            return Err(Closed);
        }
        let partitions = self.api.relay.waiting_partitions();
        if !partitions.is_empty() && self.feeds.contains_key(ALL_STREAMS) {
            self.outbox.send(messages::waiting(&partitions)).await?;
        }
        self.outbox.ping().await
    }

    /// Handles a message; an error ends the connection with this close frame.
    async fn on_message(&mut self, message: AggregatedMessage) -> Result<(), Option<CloseReason>> {
        let handled = match message {
            AggregatedMessage::Text(text) => self.handle_text(&text).await,
            AggregatedMessage::Binary(_) => {
                let description = "messages are JSON text".to_owned();
                return Err(Some(close(ErrorCode::UnsupportedMediaType, description)));
            }
            AggregatedMessage::Ping(bytes) => self.outbox.pong(&bytes).await,
            AggregatedMessage::Pong(_) => Ok(()),
            AggregatedMessage::Close(close) => return Err(close),
        };
        handled.map_err(|Closed| None)
    }

    async fn handle_text(&mut self, text: &str) -> Result<(), Closed> {
        match serde_json::from_str(text) {
            Ok(command) => self.handle_command(command).await,
            Err(error) => {
                let problem = Problem::with_detail(ErrorCode::ValidationFailed, error.to_string());
                self.outbox.send(messages::error(&problem, None)).await
            }
        }
    }

    async fn handle_command(&mut self, command: Command) -> Result<(), Closed> {
        let answer = match command {
            Command::Ping => messages::pong(),
            Command::Unsubscribe { stream_id } => {
                if let Some(feed) = self.feeds.remove(&stream_id) {
                    feed.cancel();
                }
                messages::unsubscribed(&stream_id, "requested")
            }
            // The feed itself sends `subscribed`.
            Command::Subscribe { stream_id, after } => match self.subscribe(&stream_id, after).await {
                Ok(()) => return Ok(()),
                Err(problem) => messages::error(&problem, Some(&stream_id)),
            },
        };
        self.outbox.send(answer).await
    }

    /// Starts a feed. A second feed of one stream replaces the first.
    async fn subscribe(&mut self, stream_id: &str, after: Option<String>) -> Result<(), Problem> {
        self.check_subscription_limit(stream_id)?;
        // Held until the subscription is charged.
        let _permit = self.begin_read().await?;
        let grant = self.grant(stream_id).await?;
        let start = start(after.as_deref());
        let mut subscription = self.api.relay.subscribe(&grant, start, &self.client).await?;
        let mut meter = self.api.admission.read_meter(&self.context);
        meter.charge(subscription.take_read_bytes()).await;
        let ended = CancellationToken::new();
        if let Some(replaced) = self.feeds.insert(stream_id.to_owned(), ended.clone()) {
            replaced.cancel();
        }
        // A malformed cursor is repeated, so that a client that is cut off before the reset gets it again.
        let malformed = after.filter(|_| start == Start::Unknown);
        let from = malformed.unwrap_or_else(|| subscription.from().to_string());
        let (outbox, progress) = (self.outbox.clone(), self.progress.clone());
        let feed = Feed { stream_id: stream_id.to_owned(), from, outbox, progress, meter };
        rt::spawn(async move {
            let _ = ended.run_until_cancelled(feed.run(subscription)).await;
            ended.cancel();
        });
        Ok(())
    }

    fn check_subscription_limit(&mut self, stream_id: &str) -> Result<(), Problem> {
        self.feeds.retain(|_, feed| !feed.is_cancelled());
        if self.feeds.len() < MAX_SUBSCRIPTIONS || self.feeds.contains_key(stream_id) {
            return Ok(());
        }
        let rule = format!("exceeds the limit of {MAX_SUBSCRIPTIONS} subscriptions per connection");
        Err(Problem::invalid(vec![FieldError::new("streamId", rule)]))
    }

    /// Counts a subscription against the caller's rate limit, and as one of its reads in progress.
    async fn begin_read(&self) -> Result<Option<ReadPermit>, Problem> {
        let (_, begun) = self.api.admission.begin(RateLimitClass::Read, &self.context.limit_key).await;
        Ok(begun?)
    }

    async fn grant(&self, stream_id: &str) -> Result<ReadGrant, Problem> {
        let (caller, orchestrator) = (&self.context.caller, &self.api.orchestrator);
        if stream_id == ALL_STREAMS {
            return Ok(orchestrator.grant_all(caller)?);
        }
        Ok(orchestrator.grant_stream(caller, stream_id).await?)
    }
}

/// Returns the start of a feed. A text that is not a cursor is treated as a cursor that was never issued.
fn start(after: Option<&str>) -> Start {
    match after.map(str::parse) {
        None => Start::Now,
        Some(Ok(cursor)) => Start::After(cursor),
        Some(Err(_)) => Start::Unknown,
    }
}

fn expiry_code(reason: Ended) -> ErrorCode {
    match reason {
        Ended::TokenExpired => ErrorCode::TokenExpired,
        _ => ErrorCode::ConnectionExpired,
    }
}
