//! gRPC: the state of streams and their events, on a port of its own.

mod convert;
mod deadline;
mod interceptor;
mod service;
pub mod status;

use std::{net::TcpListener, time::Duration};

use tokio_util::sync::CancellationToken;
use tonic::{
    service::interceptor::InterceptedService,
    transport::{Server, server::TcpIncoming},
};

pub use self::service::Service;

/// What the proto file says, as code.
#[allow(missing_docs, unused_qualifications, clippy::all, clippy::pedantic, reason = "generated")]
pub mod proto {
    tonic::include_proto!("livestream.orchestrator.v1");
    /// The proto file for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/streams.bin"));
}

use proto::stream_service_server::StreamServiceServer;

/// How often a connection is asked for a sign of life, and how long it may take.
const KEEPALIVE: Duration = Duration::from_secs(25);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves on a listener that is already bound, until `shutdown`.
///
/// # Errors
/// Those of the listener and of the transport.
pub async fn serve(
    service: Service,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let admission = service.admission.clone();
    let asking = move |request| Ok(interceptor::note_caller(&admission, request));
    listener.set_nonblocking(true)?;
    let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener)?).with_nodelay(Some(true));
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<StreamServiceServer<Service>>().await;
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(InterceptedService::new(StreamServiceServer::new(service), asking))
        .serve_with_incoming_shutdown(incoming, shutdown.cancelled_owned())
        .await?;
    Ok(())
}

/// Describes the services by reflection. `v1` is current; older grpcui and Evans ask `v1alpha` alone.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
}
