//! The ports and servers of an instance, from binding to the end of the drain timeout.

use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use actix_web::dev::{Server, ServerHandle};
use anyhow::Context;
use tokio::{
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{followers::FollowerRuntime, settings::HttpSettings};

/// Bound ports of an instance.
pub(super) struct Listeners {
    pub(super) http: TcpListener,
    pub(super) grpc: TcpListener,
    /// Separate port for `/metrics`; `None` if the HTTP API serves it.
    pub(super) metrics: Option<TcpListener>,
}

impl Listeners {
    pub(super) fn bind(http: &HttpSettings) -> anyhow::Result<Self> {
        Ok(Self {
            http: bind(http.address)?,
            grpc: bind(http.grpc_address)?,
            metrics: http.metrics_address.map(bind).transpose()?,
        })
    }
}

fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))
}

/// The HTTP servers of an instance.
#[derive(Default)]
pub(super) struct Servers {
    handles: Vec<ServerHandle>,
    running: JoinSet<std::io::Result<()>>,
}

impl Servers {
    pub(super) fn start(&mut self, server: Server) {
        self.handles.push(server.handle());
        self.running.spawn(server);
    }

    pub(super) async fn first_to_end(&mut self) -> anyhow::Result<()> {
        match self.running.join_next().await {
            Some(ended) => Ok(ended??),
            None => Ok(()),
        }
    }

    async fn stop(mut self) {
        for handle in &self.handles {
            handle.stop(true).await;
        }
        while self.running.join_next().await.is_some() {}
    }
}

/// An instance whose servers run.
pub(super) struct RunningApp {
    pub(super) servers: Servers,
    pub(super) tasks: JoinSet<()>,
    /// Ends after the tasks that run on it.
    pub(super) followers: FollowerRuntime,
    pub(super) hub: JoinHandle<()>,
    pub(super) shutdown: CancellationToken,
    pub(super) drain_timeout: Duration,
}

impl RunningApp {
    /// Ends event streams and background tasks, and waits for requests in progress until the drain timeout.
    pub(super) async fn drain(self) {
        let Self { servers, mut tasks, followers: _followers, hub, shutdown, drain_timeout } = self;
        shutdown.cancel();
        let drained = timeout(drain_timeout, async {
            servers.stop().await;
            while tasks.join_next().await.is_some() {}
            hub.await.is_ok()
        });
        match drained.await {
            Ok(_) => tracing::info!("shut down"),
            Err(_) => tracing::warn!("shut down with unfinished requests: the drain timeout has ended"),
        }
    }
}
