//! Command `healthcheck`: requests the readiness of a running instance.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::time::timeout;

/// Maximum time for the answer. Shorter than the 3 s after which the Dockerfile's `HEALTHCHECK` gives up.
const READY_TIMEOUT: Duration = Duration::from_millis(2_500);

/// Requests `/health/ready` of the instance that listens at `address`.
///
/// # Errors
/// A message for operators: the instance is not ready, does not answer, or does not answer in time.
pub async fn healthcheck(address: SocketAddr) -> Result<(), String> {
    let address = reachable(address);
    let uri = format!("http://{address}/health/ready")
        .parse()
        .map_err(|_| format!("{address} is not an address"))?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    match timeout(READY_TIMEOUT, client.get(uri)).await {
        Ok(Ok(answer)) if answer.status().is_success() => Ok(()),
        Ok(Ok(answer)) => Err(format!("{address} is not ready: {}", answer.status())),
        Ok(Err(error)) => Err(format!("{address} does not answer: {error}")),
        Err(_) => Err(format!("{address} does not answer in time")),
    }
}

/// Returns the loopback address for an address that means all interfaces.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        _ => address.ip(),
    };
    SocketAddr::new(ip, address.port())
}
