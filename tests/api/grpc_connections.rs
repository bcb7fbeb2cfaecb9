//! Bounds of one gRPC connection: concurrent calls, the size of their headers, and the time of their requests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;

use futures_util::{Stream, StreamExt, future::join_all, stream};
use http::uri::PathAndQuery;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};
use tonic::{Code, Request, Status, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};

use super::Pair;
use crate::support::{
    grpc::{Client, StreamEvent, SubscribeRequest, subscribe_request},
    raw_http::connect,
    within,
};

/// HTTP/2 preface and empty SETTINGS frame.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Identifiers of settings (RFC 9113, section 6.5.2).
const MAX_CONCURRENT_STREAMS: u16 = 3;
const MAX_HEADER_LIST_SIZE: u16 = 6;

/// Reads the server's first frame, which has its settings.
async fn settings(connection: &mut TcpStream) -> HashMap<u16, u32> {
    let mut head = [0; 9];
    within("a frame", connection.read_exact(&mut head)).await.unwrap();
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    assert_eq!(head[3], 4, "SETTINGS");
    let mut settings = HashMap::new();
    for _ in 0..length / 6 {
        let identifier = connection.read_u16().await.unwrap();
        settings.insert(identifier, connection.read_u32().await.unwrap());
    }
    settings
}

#[tokio::test]
async fn grpc_connection_has_limits_of_calls_and_headers() {
    let Pair(app, _other) = Pair::start().await;
    let mut connection = connect(&app.grpc).await;
    connection.write_all(HTTP2_PREFACE).await.unwrap();
    let settings = settings(&mut connection).await;
    assert_eq!(settings.get(&MAX_CONCURRENT_STREAMS), Some(&1_024));
    assert_eq!(settings.get(&MAX_HEADER_LIST_SIZE), Some(&(16 * 1024)));
}

#[tokio::test]
async fn grpc_call_with_too_large_headers_is_refused_and_later_calls_are_answered() {
    let Pair(app, _other) = Pair::start().await;
    let call = async |bytes: usize| {
        let mut request = subscribe_request("absent", "");
        request.metadata_mut().insert("x-large", "x".repeat(bytes).parse().unwrap());
        // A refusal without a gRPC status is an error of the first message.
        match Client::of(&app).await.call(request).await {
            Ok(response) => within("an error", response.into_inner().message()).await.unwrap_err().code(),
            Err(status) => status.code(),
        }
    };
    assert_eq!(call(8_000).await, Code::NotFound);
    assert_ne!(call(20_000).await, Code::NotFound);
    assert_eq!(call(8_000).await, Code::NotFound);
}

/// Calls `Subscribe` with these requests; returns the error of the call.
async fn error_of(
    channel: Channel,
    requests: impl Stream<Item = SubscribeRequest> + Send + 'static,
) -> Status {
    let mut calls = Grpc::new(channel);
    calls.ready().await.unwrap();
    let path = PathAndQuery::from_static("/livestream.orchestrator.v1.StreamService/Subscribe");
    let codec = ProstCodec::<SubscribeRequest, StreamEvent>::default();
    let call = calls.streaming(Request::new(requests), path, codec);
    within("the end of a call", call).await.expect_err("an error")
}

#[tokio::test]
async fn grpc_call_whose_request_does_not_end_is_refused_and_reflection_is_not() {
    let Pair(app, _other) = Pair::start().await;
    let channel = Channel::from_shared(app.grpc.clone()).unwrap().connect().await.unwrap();
    // Begun first, so that its time would be over before that of the other calls.
    let (sender, mut receiver) = mpsc::channel(1);
    let requests = stream::poll_fn(move |cx| receiver.poll_recv(cx));
    let list = || ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    sender.send(list()).await.unwrap();
    let mut reflection = ServerReflectionClient::new(channel.clone());
    let mut answers = reflection.server_reflection_info(requests).await.unwrap().into_inner();
    assert!(within("an answer", answers.message()).await.unwrap().is_some());
    let silent = stream::pending().boxed();
    let complete = stream::iter([subscribe_request("", "").into_inner()]);
    let unended = complete.chain(stream::pending()).boxed();
    for status in join_all([silent, unended].map(|requests| error_of(channel.clone(), requests))).await {
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(status.metadata().get("code").unwrap(), "request_timeout");
    }
    sender.send(list()).await.unwrap();
    assert!(within("an answer", answers.message()).await.unwrap().is_some());
}
