//! gRPC: feeds, updates, state, health, deadlines and reflection.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use prost::Message;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tonic::{Code, Streaming, transport::Channel};

use super::Pair;
use crate::support::{
    app::participant_webhook,
    grpc::{Client, subscribe_request},
    within,
};

async fn next<T>(messages: &mut Streaming<T>) -> Option<T> {
    within("a gRPC message", messages.message()).await.unwrap()
}

#[tokio::test]
async fn grpc_feeds_and_state_report_whole_stream_lifecycle() {
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

    one.webhook(&participant_webhook("participant_joined", &stream, "ann", "PA_1"))
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
    assert_eq!(kinds, [4, 6, 3], "status changed, left, stopped, then status OK");
    let mut kinds = Vec::new();
    while let Some(event) = next(&mut own).await {
        kinds.push(event.event_type);
    }
    assert_eq!(kinds, [2, 5, 3]);

    // Cursors of history are valid over gRPC.
    let history = two.get(&format!("/events/{id}")).await.expect(StatusCode::OK).as_array().unwrap().clone();
    for (position, event) in history.iter().enumerate() {
        let mut resumed = client.subscribe(id, event["cursor"].as_str().unwrap()).await.unwrap();
        for expected in &history[position + 1..] {
            let received = next(&mut resumed).await.unwrap();
            assert_eq!(
                (json!(received.seq), json!(received.cursor)),
                (expected["seq"].clone(), expected["cursor"].clone())
            );
        }
        assert_eq!(next(&mut resumed).await, None);
    }
    let mut reset = client.subscribe(id, "99999999999999-0").await.unwrap();
    let event = next(&mut reset).await.unwrap();
    assert_eq!((event.event_type, next(&mut reset).await), (20, None));
}

/// Large metadata is only in the events that change it. Updates read it for the others.
#[tokio::test]
async fn grpc_update_has_large_metadata_that_its_event_omits() {
    let Pair(one, two) = Pair::start().await;
    let mut client = Client::of(&two).await;
    let large = |letter: &str| json!({"large": letter.repeat(2_000)});
    let stream = one.create(json!({"metadata": large("a")})).await;
    let id = stream["id"].as_str().unwrap();
    let mut own = client.subscribe(id, "").await.unwrap();
    let mut updates = client.updates("").await.unwrap();
    assert_eq!(next(&mut updates).await.unwrap().metadata["large"].len(), 2_000);
    for letter in ["a", "b"] {
        if letter == "b" {
            one.patch(&format!("/streams/{id}"), json!({"metadata": large(letter)}))
                .await
                .expect(StatusCode::OK);
            assert_eq!(
                next(&mut own).await.unwrap().updated.unwrap().metadata["large"],
                letter.repeat(2_000)
            );
            assert_eq!(next(&mut updates).await.unwrap().metadata["large"], letter.repeat(2_000));
        }
        for kind in ["participant_joined", "participant_left"] {
            let sid = format!("PA_{letter}");
            one.webhook(&participant_webhook(kind, &stream, "ann", &sid)).await.expect(StatusCode::OK);
            let update = next(&mut updates).await.unwrap();
            assert_eq!(update.metadata["large"], letter.repeat(2_000), "{kind}");
            assert!(next(&mut own).await.is_some());
        }
    }
    one.delete(&format!("/streams/{id}")).await.expect(StatusCode::OK);
    assert!(next(&mut own).await.unwrap().updated.unwrap().metadata.is_empty(), "the status changed");
    let history = two.get(&format!("/events/{id}")).await.expect(StatusCode::OK);
    let carries = |event: &Value| event["data"]["stream"].get("metadata").is_some();
    let carried: Vec<_> = history.as_array().unwrap().iter().map(carries).collect();
    assert_eq!(carried, [true, false, false, false, true, false, false, false, false]);
}

#[tokio::test]
async fn grpc_errors_have_documented_status_codes() {
    let Pair(one, _two) = Pair::start().await;
    let mut client = Client::of(&one).await;
    assert_eq!(client.state("").await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(client.state("absent").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(client.subscribe("absent", "").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(client.updates("absent").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(client.subscribe("", "garbage").await.unwrap_err().code(), Code::InvalidArgument);
    let mut all = client.subscribe("", "").await.unwrap();
    one.stop().await;
    assert_eq!(within("the end", all.message()).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn grpc_health_is_serving_and_closed_feed_is_not_counted() {
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
    let is_subscriber_count = async |wanted: &str| {
        let line = format!("lso_subscribers{{transport=\"grpc\"}} {wanted}");
        one.get("/metrics").await.text.lines().any(|found| found == line)
    };
    assert!(is_subscriber_count("1").await);
    drop((all, client));
    crate::support::eventually("no subscribers", || async { is_subscriber_count("0").await.then_some(()) })
        .await;
}

#[tokio::test]
async fn grpc_deadline_ends_feed_and_releases_its_place() {
    let Pair(one, _two) = Pair::start().await;
    let mut client = Client::of(&one).await;
    // Sent as metadata only, because with a configured deadline the client library would end the call itself.
    let mut request = subscribe_request("", "");
    request.metadata_mut().insert("grpc-timeout", "300m".parse().unwrap());
    let mut feed = client.call(request).await.unwrap().into_inner();
    let ended = within("the deadline", feed.message()).await.unwrap_err();
    assert_eq!(ended.code(), Code::DeadlineExceeded, "{ended:?}");
    assert_eq!(ended.metadata().get("code").unwrap(), "deadline_exceeded");
    crate::support::eventually("no subscribers", || async {
        let line = "lso_subscribers{transport=\"grpc\"} 0";
        one.get("/metrics").await.text.lines().any(|found| found == line).then_some(())
    })
    .await;
}

/// Test of one version of the reflection service. The messages of both versions are equal, but their types differ.
macro_rules! reflection {
    ($test:ident, $version:ident) => {
        #[tokio::test]
        async fn $test() {
            use tonic_reflection::pb::$version::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
            };
            let Pair(one, _two) = Pair::start().await;
            let channel = Channel::from_shared(one.grpc.clone()).unwrap().connect().await.unwrap();
            let mut reflection = ServerReflectionClient::new(channel);
            let mut request = async |message: MessageRequest| {
                let request = ServerReflectionRequest { host: String::new(), message_request: Some(message) };
                let answers =
                    reflection.server_reflection_info(futures_util::stream::iter([request])).await.unwrap();
                let answer = within("reflection", answers.into_inner().message()).await.unwrap();
                answer.unwrap().message_response
            };
            let listed = request(MessageRequest::ListServices(String::new())).await;
            let Some(MessageResponse::ListServicesResponse(services)) = listed else { panic!("no services") };
            let names: Vec<_> = services.service.iter().map(|service| service.name.as_str()).collect();
            assert_services_are_listed(&names);
            let symbol = "livestream.orchestrator.v1.StreamEvent".to_owned();
            let described = request(MessageRequest::FileContainingSymbol(symbol)).await;
            let Some(MessageResponse::FileDescriptorResponse(files)) = described else { panic!("no file") };
            assert_event_field_numbers(&files.file_descriptor_proto[0]);
        }
    };
}

reflection!(reflection_v1_lists_services_and_field_numbers, v1);
reflection!(reflection_v1alpha_lists_services_and_field_numbers, v1alpha);

fn assert_services_are_listed(names: &[&str]) {
    for name in [
        "livestream.orchestrator.v1.StreamService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ] {
        assert_eq!(names.iter().filter(|listed| **listed == name).count(), 1, "{name} in {names:?}");
    }
}

fn assert_event_field_numbers(file: &[u8]) {
    let file = prost_types::FileDescriptorProto::decode(file).unwrap();
    let event = file.message_type.iter().find(|message| message.name() == "StreamEvent").unwrap();
    let numbers: Vec<_> = event.field.iter().map(|field| (field.name(), field.number())).collect();
    for field in
        [("event_type", 1), ("stream_id", 2), ("timestamp", 3), ("participant_left", 8), ("cursor", 20)]
    {
        assert!(numbers.contains(&field), "{numbers:?}");
    }
}
