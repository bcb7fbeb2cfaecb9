//! `GET /ws`, and `GET /` with `Upgrade: websocket`: JSON messages, any number of feeds on one connection.
//!
//! Client: `subscribe` (`streamId`, `after`?), `unsubscribe` (`streamId`), `ping`. Server: `connected`, `subscribed`,
//! `unsubscribed`, `pong`, `error` (a problem document; the connection stays open), `reset`, and events.

use std::{collections::HashMap, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse, rt,
    web::{Data, Payload},
};
use actix_ws::{AggregatedMessage, CloseCode, CloseReason, Closed, ProtocolError, Session};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    app_state::AppState,
    problem::{FieldError, Problem},
    sse::retry_hint,
};
use crate::{
    admission::{FeedPermit, RateLimitClass, RequestContext},
    domain::ErrorCode,
    error_mapping::ErrorMapping,
    relay::{Client, Delivery, Ended, Lifetime, Start, Subscription, Transport},
};

/// How often the server pings.
const PING_INTERVAL: Duration = Duration::from_secs(25);
/// How long a client may be silent, its answers to pings included.
const SILENCE: u32 = 3;
/// How long a message may wait for a client that does not read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);
/// The largest message that a client may send.
const MAX_MESSAGE_BYTES: usize = 16 * 1024;
/// The most feeds on one connection.
const MAX_SUBSCRIPTIONS: usize = 100;
/// What stands for all streams.
const ALL: &str = "*";

/// The upgrade.
///
/// Opens a WebSocket: JSON messages, any number of feeds on one connection (see docs/REFERENCE.md). `GET /` does so too, with
/// `Upgrade: websocket`.
#[utoipa::path(
    get, path = "/ws", operation_id = "openWebSocket", tag = "events",
    params(("access_token" = Option<String>, Query, description = "A LiveKit access token, where headers cannot be set")),
    responses((status = 101, description = "It is open"))
)]
pub async fn upgrade(
    api: Data<AppState>,
    context: RequestContext,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let (permit, lifetime) = api.open_feed(&context)?;
    let (response, session, messages) = actix_ws::handle(&request, payload).map_err(|_| {
        Problem::invalid(vec![FieldError::new("upgrade", "must be websocket, with the headers of RFC 6455")])
    })?;
    let messages = messages.max_frame_size(MAX_MESSAGE_BYTES).aggregate_continuations();
    let messages = messages.max_continuation_size(MAX_MESSAGE_BYTES);
    let connection = Connection {
        api,
        session,
        client: Client::new(Transport::WebSocket),
        feeds: HashMap::new(),
        over: CancellationToken::new(),
        context,
        lifetime,
        _permit: permit,
    };
    rt::spawn(connection.run(messages));
    Ok(response)
}

/// What a client says.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Request {
    Subscribe {
        #[serde(rename = "streamId")]
        stream_id: String,
        after: Option<String>,
    },
    Unsubscribe {
        #[serde(rename = "streamId")]
        stream_id: String,
    },
    Ping,
}

struct Connection {
    api: Data<AppState>,
    session: Session,
    client: Client,
    /// The feeds by the name that the client used, with what ends each.
    feeds: HashMap<String, CancellationToken>,
    /// Set when a feed finds that the client does not read any more.
    over: CancellationToken,
    context: RequestContext,
    lifetime: Lifetime,
    _permit: FeedPermit,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.feeds.values().for_each(CancellationToken::cancel);
    }
}

fn reason(code: ErrorCode, description: String) -> CloseReason {
    CloseReason { code: CloseCode::from(ErrorMapping::of(code).close), description: Some(description) }
}

/// Closes with a hint of when to come back: one of its own for every connection, since all may hear it at once.
fn come_back(code: ErrorCode) -> CloseReason {
    reason(code, json!({"reason": ErrorMapping::of(code).code, "retry": retry_hint()}).to_string())
}

impl Connection {
    async fn run(mut self, mut messages: actix_ws::AggregatedMessageStream) {
        let (over, shutdown) = (self.over.clone(), self.api.shutdown.clone());
        let mut ping = interval(PING_INTERVAL);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ping.reset();
        let mut silent = 0;
        let lifetime = self.lifetime;
        let hello = json!({"type": "connected", "instance": self.api.instance.id});
        if say(&mut self.session, hello.to_string()).await.is_err() {
            return;
        }
        let close = loop {
            tokio::select! {
                () = over.cancelled() => break Some(come_back(ErrorCode::SlowConsumer)),
                () = shutdown.cancelled() => break Some(come_back(ErrorCode::ShuttingDown)),
                () = lifetime.over() => break Some(come_back(match lifetime.reason() {
                    Ended::TokenExpired => ErrorCode::TokenExpired,
                    _ => ErrorCode::ConnectionExpired,
                })),
                _ = ping.tick() => {
                    silent += 1;
                    if silent > SILENCE || self.session.ping(b"").await.is_err() {
                        break None;
                    }
                }
                message = messages.next() => match message {
                    Some(Ok(message)) => {
                        silent = 0;
                        if let Err(close) = self.hear(message).await {
                            break close;
                        }
                    }
                    Some(Err(error)) => break Some(protocol_error(&error)),
                    None => break None,
                }
            }
        };
        let session = self.session.clone();
        drop(self);
        // A client that is gone needs no close frame, and one that does not read does not get it.
        let _ = timeout(WRITE_TIMEOUT, session.close(close)).await;
    }

    /// Handles a message; an error ends the connection.
    async fn hear(&mut self, message: AggregatedMessage) -> Result<(), Option<CloseReason>> {
        let answered = match message {
            AggregatedMessage::Text(text) => self.obey(&text).await,
            AggregatedMessage::Binary(_) => {
                let words = "messages are JSON text".to_owned();
                return Err(Some(reason(ErrorCode::UnsupportedMediaType, words)));
            }
            AggregatedMessage::Ping(bytes) => self.session.pong(&bytes).await,
            AggregatedMessage::Pong(_) => Ok(()),
            AggregatedMessage::Close(close) => return Err(close),
        };
        answered.map_err(|_| None)
    }

    async fn obey(&mut self, text: &str) -> Result<(), Closed> {
        let request = match serde_json::from_str(text) {
            Ok(request) => request,
            Err(error) => {
                let problem = Problem::with_detail(ErrorCode::ValidationFailed, error.to_string());
                return say(&mut self.session, error_message(&problem, None)).await;
            }
        };
        match request {
            Request::Ping => say(&mut self.session, json!({"type": "pong"}).to_string()).await,
            Request::Unsubscribe { stream_id } => {
                if let Some(feed) = self.feeds.remove(&stream_id) {
                    feed.cancel();
                }
                say(&mut self.session, unsubscribed(&stream_id, "requested")).await
            }
            Request::Subscribe { stream_id, after } => {
                match self.subscribe(&stream_id, after.as_deref()).await {
                    Ok(()) => Ok(()),
                    Err(problem) => say(&mut self.session, error_message(&problem, Some(&stream_id))).await,
                }
            }
        }
    }

    async fn subscribe(&mut self, stream_id: &str, after: Option<&str>) -> Result<(), Problem> {
        self.feeds.retain(|_, feed| !feed.is_cancelled());
        if self.feeds.len() >= MAX_SUBSCRIPTIONS && !self.feeds.contains_key(stream_id) {
            let rule = format!("is one more than the {MAX_SUBSCRIPTIONS} that a connection may follow");
            return Err(Problem::invalid(vec![FieldError::new("streamId", rule)]));
        }
        let start = match after.map(str::parse) {
            None => Start::Now,
            Some(Ok(cursor)) => Start::After(cursor),
            Some(Err(_)) => Start::Unknown,
        };
        let limiter = &self.api.admission.rate_limiter;
        let applied = limiter.take(RateLimitClass::Read, &self.context.limit_key).await;
        if applied.is_some_and(|applied| !applied.decision.allowed) {
            return Err(Problem::new(ErrorCode::RateLimited));
        }
        let caller = &self.context.caller;
        let orchestrator = &self.api.orchestrator;
        let grant = if stream_id == ALL {
            orchestrator.grant_all(caller)?
        } else {
            orchestrator.grant_stream(caller, stream_id).await?
        };
        let subscription = self.api.relay.subscribe(&grant, start, &self.client).await?;
        // Following again begins anew.
        let ended = CancellationToken::new();
        if let Some(before) = self.feeds.insert(stream_id.to_owned(), ended.clone()) {
            before.cancel();
        }
        let feed =
            Feed { name: stream_id.to_owned(), session: self.session.clone(), over: self.over.clone() };
        rt::spawn(async move {
            let _ = ended.run_until_cancelled(feed.run(subscription)).await;
            ended.cancel();
        });
        Ok(())
    }
}

/// One feed of a connection.
struct Feed {
    name: String,
    session: Session,
    over: CancellationToken,
}

impl Feed {
    async fn run(mut self, subscription: Subscription) {
        if self.follow(subscription).await.is_err() {
            self.over.cancel();
        }
    }

    /// Passes everything on; an error when the client does not keep up.
    async fn follow(&mut self, mut subscription: Subscription) -> Result<(), Closed> {
        let subscribed = json!({"type": "subscribed", "streamId": self.name, "cursor": subscription.from()});
        say(&mut self.session, subscribed.to_string()).await?;
        loop {
            match subscription.next().await {
                Delivery::Event(frame) => {
                    subscription.sent(frame.json().len());
                    say(&mut self.session, text_of(frame.json())).await?;
                }
                Delivery::Reset(reset) => {
                    let head = json!({"type": "reset", "streamId": self.name}).to_string();
                    let body = text_of(reset.json());
                    // Two objects made into one without parsing a large snapshot again.
                    let message = format!("{},{}", &head[..head.len() - 1], &body[1..]);
                    subscription.sent(message.len());
                    say(&mut self.session, message).await?;
                }
                // The instance itself says goodbye to the connection.
                Delivery::Ended(Ended::ShuttingDown) => return Ok(()),
                Delivery::Ended(Ended::TooSlow) => return Err(Closed),
                Delivery::Ended(Ended::Complete) => {
                    return say(&mut self.session, unsubscribed(&self.name, "stream_stopped")).await;
                }
                Delivery::Ended(reason) => {
                    return say(&mut self.session, unsubscribed(&self.name, reason.as_str())).await;
                }
            }
        }
    }
}

/// Says a message; an error when the client does not take it in time.
async fn say(session: &mut Session, message: String) -> Result<(), Closed> {
    timeout(WRITE_TIMEOUT, session.text(message)).await.unwrap_or(Err(Closed))
}

/// JSON text that this service has made itself.
fn text_of(json: &[u8]) -> String {
    String::from_utf8_lossy(json).into_owned()
}

fn unsubscribed(name: &str, reason: &str) -> String {
    json!({"type": "unsubscribed", "streamId": name, "reason": reason}).to_string()
}

fn error_message(problem: &Problem, stream_id: Option<&str>) -> String {
    let mut document = problem.document();
    if let Value::Object(fields) = &mut document {
        // `type` says what kind of message this is; the problem's own type follows from its code.
        fields.insert("type".to_owned(), "error".into());
        if let Some(stream_id) = stream_id {
            fields.insert("streamId".to_owned(), stream_id.into());
        }
    }
    document.to_string()
}

fn protocol_error(error: &ProtocolError) -> CloseReason {
    match error {
        ProtocolError::Overflow => {
            reason(ErrorCode::PayloadTooLarge, format!("a message may have {MAX_MESSAGE_BYTES} bytes"))
        }
        _ => CloseReason { code: CloseCode::Protocol, description: None },
    }
}
