//! gRPC, by a client with its own copy of the field numbers that are in clients' hands already.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;

use prost::Message;
use reqwest::StatusCode;
use serde_json::json;
use tonic::{Code, Request, Status, Streaming, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use super::Pair;
use crate::support::{
    app::{TestApp, participant_event},
    within,
};

#[derive(Clone, PartialEq, Message)]
struct Asked {
    #[prost(string, tag = "1")]
    stream_id: String,
    #[prost(string, tag = "20")]
    after: String,
}

#[derive(Clone, PartialEq, Message)]
struct Participant {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    identity: String,
    #[prost(int64, tag = "3")]
    joined_at: i64,
    #[prost(int64, tag = "4")]
    left_at: i64,
    #[prost(map = "string, string", tag = "5")]
    metadata: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct Update {
    #[prost(string, tag = "1")]
    stream_id: String,
    #[prost(int32, tag = "2")]
    status: i32,
    #[prost(message, repeated, tag = "3")]
    participants: Vec<Participant>,
    #[prost(int64, tag = "4")]
    timestamp: i64,
    #[prost(int32, tag = "5")]
    update_type: i32,
    #[prost(map = "string, string", tag = "6")]
    metadata: HashMap<String, String>,
    #[prost(string, tag = "20")]
    cursor: String,
}

#[derive(Clone, PartialEq, Message)]
struct State {
    #[prost(string, tag = "1")]
    stream_id: String,
    #[prost(int32, tag = "2")]
    status: i32,
    #[prost(message, repeated, tag = "3")]
    participants: Vec<Participant>,
    #[prost(int64, tag = "4")]
    started_at: i64,
    #[prost(int64, tag = "5")]
    updated_at: i64,
    #[prost(int64, tag = "6")]
    stopped_at: i64,
    #[prost(map = "string, string", tag = "7")]
    metadata: HashMap<String, String>,
}

/// `StreamUpdatedData`, and all that have a text or a participant in the same place.
#[derive(Clone, PartialEq, Message)]
struct Updated {
    #[prost(int32, tag = "1")]
    previous_status: i32,
    #[prost(int32, tag = "2")]
    current_status: i32,
    #[prost(map = "string, string", tag = "3")]
    metadata: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    room_name: String,
}

#[derive(Clone, PartialEq, Message)]
struct About {
    #[prost(message, optional, tag = "1")]
    participant: Option<Participant>,
}

#[derive(Clone, PartialEq, Message)]
struct Told {
    #[prost(int32, tag = "1")]
    event_type: i32,
    #[prost(string, tag = "2")]
    stream_id: String,
    #[prost(int64, tag = "3")]
    timestamp: i64,
    #[prost(message, optional, tag = "4")]
    created: Option<Named>,
    #[prost(message, optional, tag = "5")]
    updated: Option<Updated>,
    #[prost(message, optional, tag = "6")]
    stopped: Option<Named>,
    #[prost(message, optional, tag = "7")]
    joined: Option<About>,
    #[prost(message, optional, tag = "8")]
    left: Option<About>,
    #[prost(string, tag = "20")]
    cursor: String,
    #[prost(uint64, tag = "21")]
    seq: u64,
}

struct Client(Grpc<Channel>);

fn asked(stream_id: &str, after: &str) -> Request<Asked> {
    Request::new(Asked { stream_id: stream_id.to_owned(), after: after.to_owned() })
}

impl Client {
    async fn of(app: &TestApp) -> Self {
        let channel = Channel::from_shared(app.grpc.clone()).unwrap().connect().await.unwrap();
        Self(Grpc::new(channel))
    }

    async fn stream<T: Message + Default + 'static>(
        &mut self,
        method: &'static str,
        request: Request<Asked>,
    ) -> Result<Streaming<T>, Status> {
        self.0.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static(method);
        let codec = ProstCodec::<Asked, T>::default();
        Ok(self.0.server_streaming(request, path, codec).await?.into_inner())
    }

    async fn subscribe(&mut self, stream_id: &str, after: &str) -> Result<Streaming<Told>, Status> {
        self.stream("/livestream.orchestrator.v1.StreamService/Subscribe", asked(stream_id, after)).await
    }

    async fn updates(&mut self, stream_id: &str) -> Result<Streaming<Update>, Status> {
        self.stream("/livestream.orchestrator.v1.StreamService/StreamUpdates", asked(stream_id, "")).await
    }

    async fn state(&mut self, stream_id: &str) -> Result<State, Status> {
        self.0.ready().await.unwrap();
        let path =
            http::uri::PathAndQuery::from_static("/livestream.orchestrator.v1.StreamService/GetStreamState");
        let codec = ProstCodec::<Asked, State>::default();
        Ok(self.0.unary(asked(stream_id, ""), path, codec).await?.into_inner())
    }
}

async fn next<T>(messages: &mut Streaming<T>) -> Option<T> {
    within("a gRPC message", messages.message()).await.unwrap()
}

#[tokio::test]
async fn a_stream_is_told_over_grpc() {
    let Pair(one, two) = Pair::start().await;
    let mut client = Client::of(&two).await;
    let mut all = client.subscribe("", "").await.unwrap();
    let stream = one.create(json!({"metadata": {"text": "t", "number": 5, "list": [1]}})).await;
    let id = stream["id"].as_str().unwrap();
    let created = next(&mut all).await.unwrap();
    assert_eq!((created.event_type, created.stream_id.as_str(), created.seq), (1, id, 1));
    assert_eq!(created.created.unwrap().room_name, stream["roomName"].as_str().unwrap());
    let activated = next(&mut all).await.unwrap();
    let change = activated.updated.unwrap();
    assert_eq!((activated.event_type, change.previous_status, change.current_status), (2, 1, 2));

    let mut own = client.subscribe(id, "").await.unwrap();
    let mut updates = client.updates(stream["roomName"].as_str().unwrap()).await.unwrap();
    let first = next(&mut updates).await.unwrap();
    assert_eq!((first.update_type, first.status, first.stream_id.as_str()), (1, 2, id));
    let text = |key: &str| first.metadata[key].as_str();
    assert_eq!((text("text"), text("number"), text("list")), ("t", "5", "[1]"));

    one.webhook(&participant_event("participant_joined", &stream, "ann", "PA_1"))
        .await
        .expect(StatusCode::OK);
    let joined = next(&mut own).await.unwrap();
    assert_eq!(
        (joined.event_type, joined.joined.unwrap().participant.unwrap().identity.as_str()),
        (4, "ann")
    );
    let update = next(&mut updates).await.unwrap();
    assert_eq!((update.update_type, update.participants[0].id.as_str()), (5, "ann"));
    let state = client.state(id).await.unwrap();
    assert_eq!((state.status, state.participants.len(), state.stopped_at), (2, 1, 0));
    assert!(
        state.participants[0].joined_at > 0 && state.participants[0].left_at == 0 && state.started_at > 0
    );

    one.delete(&format!("/streams/{id}")).await.expect(StatusCode::OK);
    let mut kinds = Vec::new();
    while let Some(update) = next(&mut updates).await {
        kinds.push(update.update_type);
    }
    assert_eq!(kinds, [4, 6, 3], "status changed, left, stopped, and the end with OK");
    let mut kinds = Vec::new();
    while let Some(told) = next(&mut own).await {
        kinds.push(told.event_type);
    }
    assert_eq!(kinds, [2, 5, 3]);

    // A cursor is the same everywhere.
    let history = two.get(&format!("/events/{id}")).await.expect(StatusCode::OK).as_array().unwrap().clone();
    for (position, event) in history.iter().enumerate() {
        let mut resumed = client.subscribe(id, event["cursor"].as_str().unwrap()).await.unwrap();
        for expected in &history[position + 1..] {
            let told = next(&mut resumed).await.unwrap();
            assert_eq!(
                (json!(told.seq), json!(told.cursor)),
                (expected["seq"].clone(), expected["cursor"].clone())
            );
        }
        assert_eq!(next(&mut resumed).await, None);
    }
    let mut reset = client.subscribe(id, "99999999999999-0").await.unwrap();
    let told = next(&mut reset).await.unwrap();
    assert_eq!((told.event_type, next(&mut reset).await), (20, None));
}

#[tokio::test]
async fn errors_have_their_grpc_codes() {
    let Pair(one, _two) = Pair::start().await;
    let mut client = Client::of(&one).await;
    assert_eq!(client.state("").await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(client.state("nobody").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(client.subscribe("nobody", "").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(client.updates("nobody").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(client.subscribe("", "garbage").await.unwrap_err().code(), Code::InvalidArgument);
    let mut all = client.subscribe("", "").await.unwrap();
    one.stop().await;
    assert_eq!(within("the end", all.message()).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn health_is_answered_and_a_client_that_leaves_gives_its_seat_back() {
    let Pair(one, _two) = Pair::start().await;
    let channel = Channel::from_shared(one.grpc.clone()).unwrap().connect().await.unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    let request = tonic_health::pb::HealthCheckRequest {
        service: "livestream.orchestrator.v1.StreamService".to_owned(),
    };
    let answer = health.check(request).await.unwrap().into_inner();
    assert_eq!(answer.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);

    let mut client = Client::of(&one).await;
    let all = client.subscribe("", "").await.unwrap();
    let seats = async |wanted: &str| {
        let line = format!("lso_subscribers{{transport=\"grpc\"}} {wanted}");
        one.get("/metrics").await.text.lines().any(|found| found == line)
    };
    assert!(seats("1").await);
    drop((all, client));
    crate::support::eventually("a free seat", || async { seats("0").await.then_some(()) }).await;
}
