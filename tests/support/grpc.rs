//! A gRPC client with its own copy of the field numbers that are in clients' hands already.

use std::{collections::HashMap, time::Duration};

use prost::Message;
use tonic::{Request, Response, Status, Streaming, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use super::app::TestApp;

/// How often a silent server is asked for a sign of life.
const KEEPALIVE: Duration = Duration::from_secs(10);

#[derive(Clone, PartialEq, Message)]
pub struct Asked {
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
}

/// `StreamUpdatedData`, and all that have a text or a participant in the same place.
#[derive(Clone, PartialEq, Message)]
pub struct Updated {
    #[prost(int32, tag = "1")]
    pub previous_status: i32,
    #[prost(int32, tag = "2")]
    pub current_status: i32,
    #[prost(map = "string, string", tag = "3")]
    pub metadata: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Named {
    #[prost(string, tag = "1")]
    pub room_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct About {
    #[prost(message, optional, tag = "1")]
    pub participant: Option<Participant>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Reset {
    #[prost(string, tag = "1")]
    pub reason: String,
    #[prost(string, tag = "2")]
    pub cursor: String,
    #[prost(message, repeated, tag = "3")]
    pub snapshot: Vec<State>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Told {
    #[prost(int32, tag = "1")]
    pub event_type: i32,
    #[prost(string, tag = "2")]
    pub stream_id: String,
    #[prost(int64, tag = "3")]
    pub timestamp: i64,
    #[prost(message, optional, tag = "4")]
    pub created: Option<Named>,
    #[prost(message, optional, tag = "5")]
    pub updated: Option<Updated>,
    #[prost(message, optional, tag = "6")]
    pub stopped: Option<Named>,
    #[prost(message, optional, tag = "7")]
    pub joined: Option<About>,
    #[prost(message, optional, tag = "8")]
    pub left: Option<About>,
    #[prost(string, tag = "20")]
    pub cursor: String,
    #[prost(uint64, tag = "21")]
    pub seq: u64,
    #[prost(message, optional, tag = "23")]
    pub reset: Option<Reset>,
}

pub struct Client {
    calls: Grpc<Channel>,
    /// An access token.
    token: Option<String>,
}

pub fn asked(stream_id: &str, after: &str) -> Request<Asked> {
    Request::new(Asked { stream_id: stream_id.to_owned(), after: after.to_owned() })
}

impl Client {
    pub async fn of(app: &TestApp) -> Self {
        Self::at(&app.grpc).await.unwrap()
    }

    /// A connection of its own.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn at(url: &str) -> Result<Self, tonic::transport::Error> {
        let endpoint = Channel::from_shared(url.to_owned()).unwrap();
        let endpoint = endpoint.connect_timeout(Duration::from_secs(5)).http2_keep_alive_interval(KEEPALIVE);
        let endpoint = endpoint.keep_alive_timeout(KEEPALIVE).keep_alive_while_idle(true);
        Ok(Self { calls: Grpc::new(endpoint.connect().await?), token: None })
    }

    /// The same with an access token for every call.
    pub fn with_token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    fn authorized(&self, mut request: Request<Asked>) -> Request<Asked> {
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        request
    }

    async fn stream<T: Message + Default + 'static>(
        &mut self,
        method: &'static str,
        request: Request<Asked>,
    ) -> Result<Response<Streaming<T>>, Status> {
        self.calls.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = http::uri::PathAndQuery::from_static(method);
        let codec = ProstCodec::<Asked, T>::default();
        self.calls.server_streaming(self.authorized(request), path, codec).await
    }

    pub async fn subscribe(&mut self, stream_id: &str, after: &str) -> Result<Streaming<Told>, Status> {
        Ok(self.call(asked(stream_id, after)).await?.into_inner())
    }

    /// `Subscribe` with everything that comes before the first message.
    pub async fn call(&mut self, request: Request<Asked>) -> Result<Response<Streaming<Told>>, Status> {
        self.stream("/livestream.orchestrator.v1.StreamService/Subscribe", request).await
    }

    pub async fn updates(&mut self, stream_id: &str) -> Result<Streaming<Update>, Status> {
        let path = "/livestream.orchestrator.v1.StreamService/StreamUpdates";
        Ok(self.stream(path, asked(stream_id, "")).await?.into_inner())
    }

    pub async fn state(&mut self, stream_id: &str) -> Result<State, Status> {
        self.calls.ready().await.unwrap();
        let path =
            http::uri::PathAndQuery::from_static("/livestream.orchestrator.v1.StreamService/GetStreamState");
        let codec = ProstCodec::<Asked, State>::default();
        Ok(self.calls.unary(self.authorized(asked(stream_id, "")), path, codec).await?.into_inner())
    }
}
