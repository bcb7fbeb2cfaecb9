//! A gRPC client with its own copy of the messages.

mod messages;

use std::time::Duration;

use prost::Message;
use tonic::{Request, Response, Status, Streaming, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

pub use self::messages::*;
use super::app::TestApp;

/// Interval and timeout of HTTP/2 keepalive pings.
const KEEPALIVE: Duration = Duration::from_secs(10);

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
