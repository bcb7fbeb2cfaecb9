//! HTTP server: actix-http on connections that event streams can hijack.

use std::{io, net::TcpListener, num::NonZeroUsize, thread::available_parallelism, time::Duration};

use actix_http::{HttpService, Protocol};
use actix_server::{Server, ServerBuilder};
use actix_service::{IntoServiceFactory, Service, apply_fn_factory, map_config};
use actix_web::{
    App, dev::AppConfig, middleware::Condition, middleware::from_fn, rt::net::TcpStream, web,
    web::ServiceConfig,
};
use actix_web_lab::middleware::CatchPanic;
use socket2::SockRef;

use super::{
    app_state::AppState,
    cors::cors,
    docs::OpenApiDocument,
    hijack::{ConnectionHandle, HijackableConnection, protocol_error},
    middleware,
    openapi::openapi,
    routes,
};
use crate::{
    admission::{ConnectionLimiter, Port},
    relay::MAX_UNSENT_BYTES,
    telemetry::Metrics,
};

/// Maximum time in which the first request head of a connection must arrive. With [`CLOSE_TIMEOUT`], the connection
/// ends within 10 s.
const HEAD_TIMEOUT: Duration = Duration::from_secs(8);
/// Maximum time that a client has to close a connection after its last response.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Time after which the kernel ends a connection whose client acknowledges no data.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Time that an idle connection is kept; longer than nginx keeps it (60 s), so that nginx closes first.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Options of the API server.
pub struct ServerOptions {
    /// Origins that browsers may call from. Empty disables CORS; `*` allows every origin.
    pub cors_origins: Vec<String>,
    /// Maximum time that running requests have to finish after the shutdown has begun.
    pub drain_timeout: Duration,
    /// Limits on open connections.
    pub connections: ConnectionLimiter,
}

/// Returns the server of the API on a bound listener. It runs when awaited.
///
/// # Errors
/// Errors of the listener.
pub fn serve(api: AppState, listener: TcpListener, options: &ServerOptions) -> io::Result<Server> {
    let workers = available_parallelism().map_or(1, NonZeroUsize::get);
    let builder = builder(options, Port::Http, workers).shutdown_timeout(options.drain_timeout.as_secs());
    let serves_metrics = api.serves_metrics;
    let configure = move |config: &mut ServiceConfig| routes::configure(config, serves_metrics);
    let connections = (options.connections.clone(), Port::Http);
    run(api, listener, connections, options.cors_origins.clone(), builder, configure)
}

/// Returns a server of `/metrics` only, for a separate address.
///
/// # Errors
/// Errors of the listener.
pub fn serve_metrics(api: AppState, listener: TcpListener, options: &ServerOptions) -> io::Result<Server> {
    let builder = builder(options, Port::Metrics, 1).shutdown_timeout(1);
    let connections = (options.connections.clone(), Port::Metrics);
    run(api, listener, connections, Vec::new(), builder, routes::configure_metrics)
}

/// Returns a builder whose workers accept few connections beyond the limit of the port. The limiter closes these.
fn builder(options: &ServerOptions, port: Port, workers: usize) -> ServerBuilder {
    let accepted = options.connections.accepted_by_worker(port, workers);
    ServerBuilder::new().disable_signals().workers(workers).max_concurrent_connections(accepted)
}

fn run(
    api: AppState,
    listener: TcpListener,
    (limiter, port): (ConnectionLimiter, Port),
    origins: Vec<String>,
    builder: ServerBuilder,
    configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> io::Result<Server> {
    let shutdown = builder.graceful_shutdown_signal();
    let builder = builder.listen("http", listener, move || {
        let paths = middleware::AppPaths::default();
        let app = App::new()
            .app_data(web::Data::new(api.clone()))
            .app_data(web::Data::new(OpenApiDocument(openapi())))
            .wrap(Condition::new(!origins.is_empty(), cors(&origins)))
            .wrap(CatchPanic::default())
            .wrap(from_fn(middleware::check_site))
            .wrap(from_fn(middleware::slice_body))
            .wrap(from_fn(move |request, next| middleware::observe(paths.clone(), request, next)))
            .configure(configure.clone());
        let shutdown = shutdown.clone();
        let (metrics, limiter) = (api.metrics.clone(), limiter.clone());
        let service = HttpService::build()
            .graceful_shutdown_signal(move || {
                let shutdown = shutdown.clone();
                async move { shutdown.notified().await }
            })
            .client_request_timeout(HEAD_TIMEOUT)
            .client_disconnect_timeout(CLOSE_TIMEOUT)
            .keep_alive(KEEP_ALIVE)
            // A client that has sent FIN may still read its answer (RFC 9112, section 9.6).
            .h1_allow_half_closed(true)
            .on_connect_ext(|connection: &HijackableConnection, data| {
                data.insert(connection.handle());
            })
            .finish(map_config(app.into_factory(), |()| AppConfig::default()));
        apply_fn_factory(service, move |stream: TcpStream, service| {
            let metrics = metrics.clone();
            let peer = stream.peer_addr().ok();
            // A client that has disconnected already has no address.
            let permit = peer.and_then(|peer| limiter.open(port, peer.ip()));
            // Without a permit the socket is closed here.
            let admitted = permit.map(|permit| {
                prepare(&stream);
                let connection = HijackableConnection::new(stream);
                let handle = connection.handle();
                // Boxed, so that a hijack frees its memory. The server counts the requests and the feed as one
                // connection.
                (permit, handle, Box::pin(service.call((connection, Protocol::Http1, peer))))
            });
            async move {
                let Some((_permit, handle, requests)) = admitted else { return Ok(()) };
                let done = requests.await;
                finish(&handle, &metrics).await;
                done
            }
        })
    })?;
    Ok(builder.run())
}

/// Finishes a connection after the HTTP layer has ended: runs its feed if it was hijacked, or closes it after a
/// protocol error.
async fn finish(connection: &ConnectionHandle, metrics: &Metrics) {
    let (feed, rejected) = (connection.take_feed(), connection.take_rejection());
    if let Some(feed) = feed {
        feed.await;
    }
    if let Some((response, stream)) = rejected {
        response.record(metrics);
        // Boxed, because the buffer would otherwise be part of every connection's future, feeds included.
        Box::pin(protocol_error::close(stream, CLOSE_TIMEOUT)).await;
    }
}

/// Sets `TCP_NODELAY`, `TCP_NOTSENT_LOWAT` and `TCP_USER_TIMEOUT`. The last one also ends connections whose client
/// answers but does not read.
fn prepare(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let prepared = stream
        .set_nodelay(true)
        .and_then(|()| socket.set_tcp_notsent_lowat(MAX_UNSENT_BYTES))
        .and_then(|()| socket.set_tcp_user_timeout(Some(STALL_TIMEOUT)));
    if let Err(error) = prepared {
        tracing::warn!(%error, "socket options of a connection not set");
    }
}
