//! The client of endpoints over HTTP/1.1.

use std::{
    error::Error,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::rt::Executor;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;
use url::Url;

use super::{
    ATTEMPT_TIMEOUT, AddressPolicy, Answer, EndpointClient, Failure, MAX_ANSWER_BYTES, Message, Resolve,
    UrlError,
    answer::parse_retry_after,
    connector::{CheckedConnector, ConnectError},
    resolver::permitted_addresses,
    shared_lookups::SharedLookups,
};
use crate::domain::webhook_endpoint::MAX_ENDPOINTS;

/// `User-Agent` of every request.
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
/// Maximum time for the body of an answer. The connection of a slower answer is closed.
const BODY_TIMEOUT: Duration = Duration::from_secs(1);
/// Time after which an unused connection is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum number of concurrent lookups of host names for attempts: more than there are endpoints.
const MAX_LOOKUPS: usize = MAX_ENDPOINTS + 12;
/// Maximum number of concurrent lookups for checks. They have their own, because requests choose the names.
const MAX_CHECKS: usize = 16;

/// Task that drives a connection.
pub type ConnectionTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Client with a pool of connections, each to an address that was checked when it was made.
pub struct HttpEndpointClient {
    client: Client<HttpsConnector<CheckedConnector>, Full<Bytes>>,
    policy: AddressPolicy,
    checks: SharedLookups,
}

impl HttpEndpointClient {
    /// Makes a client, which keeps at most `max_idle` unused connections to each host. TLS trusts the root certificates
    /// of this machine.
    pub fn new(resolver: Arc<dyn Resolve>, policy: AddressPolicy, max_idle: usize) -> Self {
        Self::with_executor(TokioExecutor::new(), resolver, policy, max_idle)
    }

    /// As [`Self::new`], with the executor that drives the connections.
    pub fn with_executor(
        executor: impl Executor<ConnectionTask> + Clone + Send + Sync + 'static,
        resolver: Arc<dyn Resolve>,
        policy: AddressPolicy,
        max_idle: usize,
    ) -> Self {
        let checks = SharedLookups::new(resolver.clone(), MAX_CHECKS);
        let resolver = Arc::new(SharedLookups::new(resolver, MAX_LOOKUPS));
        let connector = CheckedConnector { resolver, policy };
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls_config())
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(executor)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(max_idle)
            .pool_timer(TokioTimer::new())
            .build(https);
        Self { client, policy, checks }
    }

    async fn attempt(&self, url: &Url, message: Message) -> Result<Answer, Failure> {
        let request = request(url, message).map_err(|_| Failure::Connection)?;
        let response = timeout(ATTEMPT_TIMEOUT, self.client.request(request)).await;
        let response = response.map_err(|_| Failure::Timeout)?.map_err(|error| failure(&error))?;
        let retry_after = retry_after(response.headers());
        let status = response.status().as_u16();
        // Read only so that the connection can be used again: the status alone decides.
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect();
        let _ = timeout(BODY_TIMEOUT, body).await;
        Ok(Answer::Status { status, retry_after })
    }
}

#[async_trait]
impl EndpointClient for HttpEndpointClient {
    async fn check(&self, url: &Url) -> Result<(), UrlError> {
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(443));
        let addresses =
            timeout(ATTEMPT_TIMEOUT, permitted_addresses(&self.checks, self.policy, host, port)).await;
        match addresses {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(Failure::ForbiddenAddress)) => Err(UrlError::Forbidden),
            Ok(Err(_)) | Err(_) => Err(UrlError::Unresolved),
        }
    }

    async fn post(&self, url: &Url, message: Message) -> Answer {
        self.attempt(url, message).await.unwrap_or_else(Answer::Failed)
    }
}

/// Trusts the root certificates of this machine; without any, no `https` endpoint can be reached.
fn tls_config() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!(ignored, "no root certificate found: https endpoints of webhooks cannot be reached");
    }
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

fn request(url: &Url, message: Message) -> Result<Request<Full<Bytes>>, http::Error> {
    Request::builder()
        .method(Method::POST)
        .uri(url.as_str())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, USER_AGENT)
        .header("webhook-id", message.id)
        .header("webhook-timestamp", message.timestamp)
        .header("webhook-signature", message.signature)
        .body(Full::new(message.body))
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    parse_retry_after(headers.get(header::RETRY_AFTER)?.to_str().ok()?, SystemTime::now())
}

/// Finds the error of the connector among the causes of the client's error.
fn failure(error: &(dyn Error + 'static)) -> Failure {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(ConnectError(failure)) = error.downcast_ref() {
            return *failure;
        }
        cause = error.source();
    }
    Failure::Connection
}
