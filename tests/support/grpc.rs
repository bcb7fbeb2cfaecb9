//! A gRPC client with its own copy of the messages, so that a changed field number fails the tests.

use std::{collections::HashMap, time::Duration};

use prost::Message;
use tonic::{Request, Response, Status, Streaming, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use super::app::TestApp;

/// Interval and timeout of HTTP/2 keepalive pings.
const KEEPALIVE: Duration = Duration::from_secs(10);

#[derive(Clone, PartialEq, Message)]
pub struct SubscribeRequest {
    #[prost(string, tag = "1")]
    pub stream_id: String,
    #[prost(string, tag = "20")]
    pub after: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Participant {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub identity: String,
    #[prost(int64, tag = "3")]
    pub joined_at: i64,
    #[prost(int64, tag = "4")]
    pub left_at: i64,
    #[prost(map = "string, string", tag = "5")]
    pub metadata: HashMap<String, String>,
    #[prost(string, tag = "21")]
    pub role: String,
    #[prost(string, tag = "22")]
    pub state: String,
    #[prost(string, tag = "23")]
    pub sid: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Counts {
    #[prost(int32, tag = "1")]
    pub hosts: i32,
    #[prost(int32, tag = "2")]
    pub viewers: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Update {
    #[prost(string, tag = "1")]
    pub stream_id: String,
    #[prost(int32, tag = "2")]
    pub status: i32,
    #[prost(message, repeated, tag = "3")]
    pub participants: Vec<Participant>,
    #[prost(int64, tag = "4")]
    pub timestamp: i64,
    #[prost(int32, tag = "5")]
    pub update_type: i32,
    #[prost(map = "string, string", tag = "6")]
    pub metadata: HashMap<String, String>,
    #[prost(string, tag = "20")]
    pub cursor: String,
    #[prost(uint64, tag = "21")]
    pub seq: u64,
    #[prost(message, optional, tag = "23")]
    pub reset: Option<Reset>,
    #[prost(bool, tag = "25")]
    pub participants_truncated: bool,
    #[prost(int32, tag = "26")]
    pub audience: i32,
    #[prost(message, optional, tag = "27")]
    pub participant_counts: Option<Counts>,
    #[prost(bool, tag = "28")]
    pub removed: bool,
    #[prost(message, optional, tag = "29")]
    pub participant: Option<Participant>,
    #[prost(bool, tag = "30")]
    pub backstage: bool,
    #[prost(int64, tag = "31")]
    pub live_at: i64,
    #[prost(string, tag = "32")]
    pub by: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct State {
    #[prost(string, tag = "1")]
    pub stream_id: String,
    #[prost(int32, tag = "2")]
    pub status: i32,
    #[prost(message, repeated, tag = "3")]
    pub participants: Vec<Participant>,
    #[prost(int64, tag = "4")]
    pub started_at: i64,
    #[prost(int64, tag = "5")]
    pub updated_at: i64,
    #[prost(int64, tag = "6")]
    pub stopped_at: i64,
    #[prost(map = "string, string", tag = "7")]
    pub metadata: HashMap<String, String>,
    #[prost(bool, tag = "22")]
    pub participants_truncated: bool,
    #[prost(bool, tag = "25")]
    pub backstage: bool,
    #[prost(int64, tag = "26")]
    pub live_at: i64,
}

/// `StreamUpdatedData`.
#[derive(Clone, PartialEq, Message)]
pub struct Updated {
    #[prost(int32, tag = "1")]
    pub previous_status: i32,
    #[prost(int32, tag = "2")]
    pub current_status: i32,
    #[prost(map = "string, string", tag = "3")]
    pub metadata: HashMap<String, String>,
}

/// `StreamCreatedData`, `StreamStoppedData`, `StreamLiveStartedData` and `StreamLiveStoppedData`.
#[derive(Clone, PartialEq, Message)]
pub struct RoomData {
    #[prost(string, tag = "1")]
    pub room_name: String,
}

/// `ParticipantJoinedData` and `ParticipantLeftData`.
#[derive(Clone, PartialEq, Message)]
pub struct ParticipantData {
    #[prost(message, optional, tag = "1")]
    pub participant: Option<Participant>,
    #[prost(string, tag = "20")]
    pub reason: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Reset {
    #[prost(string, tag = "1")]
    pub reason: String,
    #[prost(string, tag = "2")]
    pub cursor: String,
    #[prost(message, repeated, tag = "3")]
    pub snapshot: Vec<State>,
    #[prost(uint32, tag = "20")]
    pub part: u32,
    #[prost(uint32, tag = "21")]
    pub parts: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct StreamEvent {
    #[prost(int32, tag = "1")]
    pub event_type: i32,
    #[prost(string, tag = "2")]
    pub stream_id: String,
    #[prost(int64, tag = "3")]
    pub timestamp: i64,
    #[prost(message, optional, tag = "4")]
    pub created: Option<RoomData>,
    #[prost(message, optional, tag = "5")]
    pub updated: Option<Updated>,
    #[prost(message, optional, tag = "6")]
    pub stopped: Option<RoomData>,
    #[prost(message, optional, tag = "7")]
    pub joined: Option<ParticipantData>,
    #[prost(message, optional, tag = "8")]
    pub left: Option<ParticipantData>,
    #[prost(string, tag = "20")]
    pub cursor: String,
    #[prost(uint64, tag = "21")]
    pub seq: u64,
    #[prost(message, optional, tag = "23")]
    pub reset: Option<Reset>,
    #[prost(message, optional, tag = "28")]
    pub live_started: Option<RoomData>,
    #[prost(message, optional, tag = "29")]
    pub live_stopped: Option<RoomData>,
    #[prost(bool, tag = "30")]
    pub backstage: bool,
    #[prost(int64, tag = "31")]
    pub live_at: i64,
    #[prost(string, tag = "32")]
    pub by: String,
}

pub struct Client {
    calls: Grpc<Channel>,
    token: Option<String>,
}

pub fn subscribe_request(stream_id: &str, after: &str) -> Request<SubscribeRequest> {
    Request::new(SubscribeRequest { stream_id: stream_id.to_owned(), after: after.to_owned() })
}

impl Client {
    /// Connects to an instance of this process.
    pub async fn of(app: &TestApp) -> Self {
        Self::connect(&app.grpc).await.unwrap()
    }

    /// Uses a connected channel.
    pub fn on(channel: Channel) -> Self {
        Self { calls: Grpc::new(channel), token: None }
    }

    /// Connects to a URL.
    ///
    /// # Errors
    /// If the server does not accept the connection.
    pub async fn connect(url: &str) -> Result<Self, tonic::transport::Error> {
        let endpoint = Channel::from_shared(url.to_owned()).unwrap();
        let endpoint = endpoint.connect_timeout(Duration::from_secs(5)).http2_keep_alive_interval(KEEPALIVE);
        let endpoint = endpoint.keep_alive_timeout(KEEPALIVE).keep_alive_while_idle(true);
        Ok(Self { calls: Grpc::new(endpoint.connect().await?), token: None })
    }

    /// Sends an access token with every call.
    pub fn with_token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    fn authorized(&self, mut request: Request<SubscribeRequest>) -> Request<SubscribeRequest> {
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        request
    }

    async fn stream<T: Message + Default + 'static>(
        &mut self,
        method: &'static str,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Streaming<T>>, Status> {
        self.calls.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = http::uri::PathAndQuery::from_static(method);
        let codec = ProstCodec::<SubscribeRequest, T>::default();
        self.calls.server_streaming(self.authorized(request), path, codec).await
    }

    pub async fn subscribe(
        &mut self,
        stream_id: &str,
        after: &str,
    ) -> Result<Streaming<StreamEvent>, Status> {
        Ok(self.call(subscribe_request(stream_id, after)).await?.into_inner())
    }

    /// Calls `Subscribe` and returns the response with its metadata.
    pub async fn call(
        &mut self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Streaming<StreamEvent>>, Status> {
        self.stream("/livestream.orchestrator.v1.StreamService/Subscribe", request).await
    }

    pub async fn updates(&mut self, stream_id: &str) -> Result<Streaming<Update>, Status> {
        self.call_updates(subscribe_request(stream_id, "")).await
    }

    pub async fn call_updates(
        &mut self,
        request: Request<SubscribeRequest>,
    ) -> Result<Streaming<Update>, Status> {
        let path = "/livestream.orchestrator.v1.StreamService/StreamUpdates";
        Ok(self.stream(path, request).await?.into_inner())
    }

    pub async fn state(&mut self, stream_id: &str) -> Result<State, Status> {
        self.calls.ready().await.unwrap();
        let path =
            http::uri::PathAndQuery::from_static("/livestream.orchestrator.v1.StreamService/GetStreamState");
        let codec = ProstCodec::<SubscribeRequest, State>::default();
        Ok(self
            .calls
            .unary(self.authorized(subscribe_request(stream_id, "")), path, codec)
            .await?
            .into_inner())
    }
}
