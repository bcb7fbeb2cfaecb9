//! Connector that connects to no other address than to one that it has checked.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service;

use super::{
    AddressPolicy,
    answer::Failure,
    resolver::{Resolve, permitted_addresses},
};

/// Connects to the checked addresses of a URL's host, one after the other.
#[derive(Clone)]
pub(super) struct CheckedConnector {
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) policy: AddressPolicy,
}

/// Error of the connector.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectError(pub(super) Failure);

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl Error for ConnectError {}

impl CheckedConnector {
    async fn connect(self, uri: Uri) -> Result<TokioIo<TcpStream>, ConnectError> {
        let host = uri.host().ok_or(ConnectError(Failure::Unresolved))?;
        let default_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default_port);
        let addresses = permitted_addresses(&*self.resolver, self.policy, host, port).await;
        let stream = TcpStream::connect(&*addresses.map_err(ConnectError)?).await;
        let stream = stream.map_err(|_| ConnectError(Failure::Connection))?;
        // Without it, the body waits for the acknowledgement of the head.
        stream.set_nodelay(true).map_err(|_| ConnectError(Failure::Connection))?;
        Ok(TokioIo::new(stream))
    }
}

impl Service<Uri> for CheckedConnector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}
