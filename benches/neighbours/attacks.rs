//! The attacks: who calls, and what.

use std::time::Duration;

use futures_util::{StreamExt, future::join_all};
use reqwest::{RequestBuilder, Response};
use serde_json::json;
use tokio::{
    io::AsyncWriteExt,
    net::TcpSocket,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{
    deployment::{ATTACKER, Deployment, Stream, lister, metadata, room_admin, viewer},
    support::unique,
};

/// Bytes of large metadata, a little below the limit.
const LARGE: usize = 59_000;
/// Time of an attack, and of the joins beside it.
pub const DURATION: Duration = Duration::from_secs(30);

/// Time from one `GET /health` of a client to its next.
const HEALTH_PACE: Duration = Duration::from_millis(20);

pub struct Attack {
    pub caller: &'static str,
    pub name: &'static str,
    /// Whether the default rate limits hold.
    pub is_limited: bool,
    /// Clients that attack at once; limits count for all of them together.
    clients: usize,
    kind: Kind,
}

/// What is prepared, and what each client does again and again.
#[derive(Clone, Copy)]
enum Kind {
    /// `GET /events/{id}?limit=1000` of a log full of large events.
    LargeHistory,
    /// A feed of its stream with a cursor that is not known, until its reset.
    StreamResets,
    /// A feed of all streams with a cursor that is not known, until its reset; 5,000 streams.
    Resets,
    /// Feeds with a replay of 1,000 events, never read.
    UnreadFeeds,
    /// `GET …/participants?state=` of a room with 5,000 participants.
    FilteredParticipants,
    /// `GET /streams?limit=1000` with 400 streams of 60 KB.
    LargeList,
    /// PATCH of 60 KB.
    LargeMetadata,
    /// Keyed PATCH of 20 bytes on a stream of 60 KB.
    KeyedPatches,
    /// Creates and deletes streams.
    Churn,
    /// Connections to a port that send nothing.
    Silent { grpc: bool },
    /// Unsigned webhooks whose body never ends.
    StalledWebhooks,
    /// `GET /health`, every 20 ms by each client.
    Health,
}

const fn attack(caller: &'static str, name: &'static str, clients: usize, kind: Kind) -> Attack {
    Attack { caller, name, is_limited: true, clients, kind }
}

pub const ATTACKS: &[Attack] = &[
    attack("viewer token", "history of a log full of large events", 8, Kind::LargeHistory),
    attack("viewer token", "feeds of its stream that begin with a reset", 8, Kind::StreamResets),
    attack("viewer token", "200 feeds with a replay, never read", 200, Kind::UnreadFeeds),
    attack("viewer token", "participants by state, of 5,000", 8, Kind::FilteredParticipants),
    attack("room admin", "metadata of 60 KB", 8, Kind::LargeMetadata),
    attack("room admin", "keyed changes of 20 bytes on a stream of 60 KB", 8, Kind::KeyedPatches),
    attack("`roomList` token", "feeds of 5,000 streams that begin with a reset", 30, Kind::Resets),
    attack("`roomList` token", "list of 400 streams of 60 KB", 8, Kind::LargeList),
    Attack {
        is_limited: false,
        ..attack("backend without limits", "streams created and stopped", 8, Kind::Churn)
    },
    attack("anonymous", "2,000 silent connections to the HTTP port", 2_000, Kind::Silent { grpc: false }),
    attack("anonymous", "2,000 silent connections to the gRPC port", 2_000, Kind::Silent { grpc: true }),
    attack("anonymous", "400 unsigned webhooks whose body stalls", 400, Kind::StalledWebhooks),
    attack("anonymous", "GET /health 500 times a second", 10, Kind::Health),
];

impl Attack {
    /// Makes what the attack needs; returns the attacker's own stream.
    pub async fn prepare(&self, deployment: &Deployment) -> Stream {
        let bytes = if matches!(self.kind, Kind::KeyedPatches | Kind::LargeHistory) { LARGE } else { 20 };
        let own = deployment.create("own", bytes).await;
        let rooms = |count: usize| (0..count).map(|n| format!("room-{n}")).collect::<Vec<_>>();
        match self.kind {
            Kind::LargeHistory => fill_log(deployment, &own, LARGE).await,
            Kind::UnreadFeeds => fill_log(deployment, &own, 1_000).await,
            Kind::Resets => deployment.create_all(&rooms(5_000), 20).await,
            Kind::LargeList => deployment.create_all(&rooms(400), LARGE).await,
            Kind::FilteredParticipants => join_many(deployment, &own, 5_000).await,
            _ => {}
        }
        own
    }

    /// Attacks for this long; returns the number of calls. A refused client waits as long as the refusal says, because a
    /// caller within its limits is what the report is about.
    pub async fn run(&self, deployment: &Deployment, own: &Stream, duration: Duration) -> usize {
        let end = Instant::now() + duration;
        let caller = unique("attacker");
        let clients = (0..self.clients).map(|_| self.repeat(deployment, own, &caller, end));
        join_all(clients).await.into_iter().sum()
    }

    async fn repeat(&self, deployment: &Deployment, own: &Stream, caller: &str, end: Instant) -> usize {
        let mut calls = 0;
        while Instant::now() < end {
            let _ = timeout_at(end, self.once(deployment, own, caller, end)).await;
            calls += 1;
        }
        calls
    }

    async fn once(&self, deployment: &Deployment, own: &Stream, caller: &str, end: Instant) {
        let Stream { id, room } = own;
        let client = &deployment.attacker;
        let get = |path: &str, token: String| client.get(deployment.url(path)).bearer_auth(token);
        let patch =
            |token: String| client.patch(deployment.url(&format!("/streams/{id}"))).bearer_auth(token);
        let (viewer, admin) = (|| viewer(caller, room), || room_admin(caller, room));
        let unknown = "lastEventId=1-1";
        match self.kind {
            Kind::LargeHistory => read(get(&format!("/events/{id}?limit=1000"), viewer())).await,
            Kind::StreamResets => {
                read_one_message(get(&format!("/events?streamId={id}&{unknown}"), viewer())).await;
            }
            Kind::Resets => read_one_message(get(&format!("/events?{unknown}"), lister(caller))).await,
            Kind::UnreadFeeds => {
                let path = format!("/events?streamId={id}&limit=1000");
                hold(deployment, false, &request_head(&path, &viewer()), end).await;
            }
            Kind::FilteredParticipants => {
                read(get(&format!("/streams/{id}/participants?state=disconnected&limit=1000"), viewer()))
                    .await;
            }
            Kind::LargeList => read(get("/streams?limit=1000", lister(caller))).await,
            Kind::LargeMetadata => {
                let mut body = metadata(LARGE);
                body["n"] = json!(unique("n"));
                read(patch(admin()).json(&json!({"metadata": body}))).await;
            }
            Kind::KeyedPatches => {
                let keyed = patch(admin()).header("idempotency-key", unique("key"));
                read(keyed.json(&json!({"metadata": {"n": unique("n")}}))).await;
            }
            Kind::Churn => {
                let stream = deployment.create(&unique("churn"), 20).await;
                let token = room_admin(caller, &stream.room);
                let path = deployment.url(&format!("/streams/{}", stream.id));
                read(client.delete(path).bearer_auth(token)).await;
            }
            Kind::Silent { grpc } => hold(deployment, grpc, b"", end).await,
            Kind::StalledWebhooks => {
                let mut head = b"POST /webhooks/livekit HTTP/1.1\r\nhost: localhost\r\n\
                    content-type: application/webhook+json\r\ncontent-length: 2000000\r\n\r\n"
                    .to_vec();
                head.resize(head.len() + 200_000, b'x');
                hold(deployment, false, &head, end).await;
            }
            Kind::Health => {
                let next = Instant::now() + HEALTH_PACE;
                read(client.get(deployment.url("/health"))).await;
                sleep_until(next).await;
            }
        }
    }
}

/// Changes a stream until its log has 1,000 events of about this many bytes.
async fn fill_log(deployment: &Deployment, stream: &Stream, bytes: usize) {
    for some in 0..125 {
        let changes = (0..8).map(|n| async move {
            let token = room_admin(&unique("admin"), &stream.room);
            let mut body = metadata(bytes);
            body["n"] = json!(some * 8 + n);
            let url = deployment.url(&format!("/streams/{}", stream.id));
            read(deployment.client.patch(url).bearer_auth(token).json(&json!({"metadata": body}))).await;
        });
        join_all(changes).await;
    }
}

async fn join_many(deployment: &Deployment, stream: &Stream, count: usize) {
    let url = deployment.url(&format!("/streams/{}/join", stream.id));
    let joins = (0..count).map(|n| {
        let token = room_admin(&unique("admin"), &stream.room);
        let body = json!({"identity": format!("person-{n}")});
        read(deployment.client.post(&url).bearer_auth(token).json(&body))
    });
    futures_util::stream::iter(joins).buffer_unordered(16).collect::<Vec<()>>().await;
}

/// Reads a whole answer; waits after a refusal. Refused and broken calls are part of an attack.
async fn read(request: RequestBuilder) {
    if let Ok(answer) = request.send().await {
        let pause = retry_after(&answer);
        let _ = answer.bytes().await;
        sleep(pause).await;
    }
}

/// Returns how long a refusal asks to wait; zero for any other answer.
fn retry_after(answer: &Response) -> Duration {
    let seconds = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}

/// Reads a feed to the end of its first message.
async fn read_one_message(request: RequestBuilder) {
    let Ok(answer) = request.send().await else { return };
    sleep(retry_after(&answer)).await;
    let mut tail = Vec::new();
    let mut chunks = Response::bytes_stream(answer);
    while let Some(Ok(chunk)) = chunks.next().await {
        tail.extend_from_slice(&chunk);
        if tail.windows(2).any(|pair| pair == b"\n\n") && tail.windows(6).any(|word| word == b"event:") {
            return;
        }
        let keep = tail.len().saturating_sub(8);
        tail.drain(..keep);
    }
}

fn request_head(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n").into_bytes()
}

/// Opens a connection, sends these bytes, and reads nothing until the end.
async fn hold(deployment: &Deployment, grpc: bool, bytes: &[u8], end: Instant) {
    let address = deployment.address();
    let url = if grpc { address.grpc } else { address.http };
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((ATTACKER, 0).into()).expect("an address of this machine");
    let target = url.trim_start_matches("http://").parse().expect("an address");
    if let Ok(mut connection) = socket.connect(target).await {
        let _ = connection.write_all(bytes).await;
        sleep_until(end).await;
    }
}
