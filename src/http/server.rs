//! How connections become requests: actix's HTTP server, on connections that can be taken from it.

use std::{io, net::TcpListener, time::Duration};

use actix_http::{HttpService, Protocol};
use actix_server::{Server, ServerBuilder};
use actix_service::{IntoServiceFactory, Service, apply_fn_factory, map_config};
use actix_web::{
    App, dev::AppConfig, middleware::Condition, middleware::from_fn, rt::net::TcpStream, web,
    web::ServiceConfig,
};
use socket2::SockRef;

use super::{
    app_state::AppState,
    cors::cors,
    docs::OpenApiDocument,
    middleware,
    openapi::openapi,
    refusal, routes,
    takeover::{Claim, Connection},
};
use crate::telemetry::Metrics;

/// How long a request's head may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the other side may take to close a connection that is over.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a connection may take nothing of what is sent to it.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an idle connection is kept for its next request; longer than nginx keeps its own (60 s).
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Options of the API server.
pub struct ServerOptions {
    /// Origins that browsers may call from. Empty disables CORS; `*` allows every origin.
    pub cors_origins: Vec<String>,
    /// Maximum time that running requests have to finish after the shutdown has begun.
    pub drain_timeout: Duration,
}

/// The server of the API on a listener that is already bound. It runs when awaited.
///
/// # Errors
/// Those of the listener.
pub fn serve(api: AppState, listener: TcpListener, options: &ServerOptions) -> io::Result<Server> {
    let builder = ServerBuilder::new().shutdown_timeout(options.drain_timeout.as_secs());
    let serves_metrics = api.serves_metrics;
    let configure = move |config: &mut ServiceConfig| routes::configure(config, serves_metrics);
    run(api, listener, options.cors_origins.clone(), builder, configure)
}

/// The server of `/metrics` alone, on a listener of its own.
///
/// # Errors
/// Those of the listener.
pub fn serve_metrics(api: AppState, listener: TcpListener) -> io::Result<Server> {
    let builder = ServerBuilder::new().workers(1).shutdown_timeout(1);
    run(api, listener, Vec::new(), builder, routes::configure_metrics)
}

fn run(
    api: AppState,
    listener: TcpListener,
    origins: Vec<String>,
    builder: ServerBuilder,
    configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> io::Result<Server> {
    let builder = builder.disable_signals();
    let going = builder.graceful_shutdown_signal();
    let builder = builder.listen("http", listener, move || {
        let app = App::new()
            .app_data(web::Data::new(api.clone()))
            .app_data(web::Data::new(OpenApiDocument(openapi())))
            .wrap(Condition::new(!origins.is_empty(), cors(&origins)))
            .wrap(from_fn(middleware::observe))
            .configure(configure.clone());
        let going = going.clone();
        let metrics = api.metrics.clone();
        let service = HttpService::build()
            .graceful_shutdown_signal(move || {
                let going = going.clone();
                async move { going.notified().await }
            })
            .client_request_timeout(HEAD_TIMEOUT)
            .client_disconnect_timeout(CLOSE_TIMEOUT)
            .keep_alive(KEEP_ALIVE)
            // A client that has sent FIN may still read its answer (RFC 9112, section 9.6).
            .h1_allow_half_closed(true)
            .on_connect_ext(|connection: &Connection, data| {
                data.insert(connection.claim());
            })
            .finish(map_config(app.into_factory(), |()| AppConfig::default()));
        apply_fn_factory(service, move |stream: TcpStream, service| {
            let metrics = metrics.clone();
            prepare(&stream);
            let peer = stream.peer_addr().ok();
            let connection = Connection::new(stream);
            let claim = connection.claim();
            // Boxed, so that its memory is free once the connection is taken. Both together are one connection of the
            // server's: it is counted, and waited for at the end, until the feed has ended.
            let requests = Box::pin(service.call((connection, Protocol::Http1, peer)));
            async move {
                let done = requests.await;
                end(&claim, &metrics).await;
                done
            }
        })
    })?;
    Ok(builder.run())
}

/// Completes a connection that the HTTP layer is done with: runs the feed that took it, or closes it after a refusal.
async fn end(claim: &Claim, metrics: &Metrics) {
    let (feed, refused) = (claim.take_feed(), claim.take_refused());
    if let Some(feed) = feed {
        feed.await;
    }
    if let Some((refusal, stream)) = refused {
        refusal.record(metrics);
        // Boxed, because the buffer would otherwise be part of every connection's future, feeds included.
        Box::pin(refusal::close(stream, CLOSE_TIMEOUT)).await;
    }
}

/// Sends at once what there is to send, and lets the kernel end connections whose other side takes nothing any more, also
/// when it still answers.
fn prepare(stream: &TcpStream) {
    let prepared = stream
        .set_nodelay(true)
        .and_then(|()| SockRef::from(stream).set_tcp_user_timeout(Some(STALL_TIMEOUT)));
    if let Err(error) = prepared {
        tracing::warn!(%error, "a connection could not be given its options");
    }
}
