//! gRPC server: calls, health checks and reflection on one listener.

use std::{net::TcpListener, time::Duration};

use tokio_util::sync::CancellationToken;
use tonic::{service::interceptor::InterceptedService, transport::Server};
use tower::{
    layer::layer_fn,
    util::{MapRequestLayer, MapResponseLayer},
};

use super::{
    body,
    calls::CountCalls,
    connection::incoming,
    interceptor,
    proto::{self, stream_service_server::StreamServiceServer},
    request_body,
    service::Service,
};
use crate::admission::ConnectionLimiter;

/// Interval of HTTP/2 pings on a connection.
const KEEPALIVE: Duration = Duration::from_secs(25);
/// Maximum time of a client to answer a ping. The connection is closed after it.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Maximum calls of one connection at a time. A client library queues further ones. Above the default of
/// `MAX_FEEDS_PER_CALLER`, because libraries send all calls over one connection.
const MAX_CONCURRENT_CALLS: u32 = 1_024;
/// Maximum size of a call's headers, by the measure of HTTP/2 (RFC 9113, section 6.5.2).
const MAX_HEADERS_BYTES: u32 = 16 * 1024;

/// Serves the calls, health checks and reflection on a bound listener until `shutdown` is cancelled.
///
/// # Errors
/// Errors of the listener and of the transport.
pub async fn serve(
    service: Service,
    listener: TcpListener,
    limiter: ConnectionLimiter,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let admission = service.admission.clone();
    let attach_call = move |request| interceptor::attach_call(&admission, request);
    listener.set_nonblocking(true)?;
    let incoming = incoming(tokio::net::TcpListener::from_std(listener)?, limiter);
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<StreamServiceServer<Service>>().await;
    Server::builder()
        .layer(layer_fn(CountCalls))
        .layer(MapRequestLayer::new(interceptor::attach_connection))
        .layer(MapRequestLayer::new(request_body::limit))
        .layer(MapResponseLayer::new(body::slice))
        .max_concurrent_streams(MAX_CONCURRENT_CALLS)
        .http2_max_header_list_size(MAX_HEADERS_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(InterceptedService::new(StreamServiceServer::new(service), attach_call))
        .serve_with_incoming_shutdown(incoming, shutdown.cancelled_owned())
        .await?;
    Ok(())
}

/// Returns a builder with the descriptors of all services. Reflection `v1` is current; older grpcui and Evans use only
/// `v1alpha`.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
}
