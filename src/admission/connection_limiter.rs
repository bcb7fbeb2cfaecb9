//! Limits on open connections of this instance. Each connection is an open file, of which a process has a fixed number.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ipnet::IpNet;

use super::client_address::address_network;
use crate::telemetry::Metrics;

/// Minimum time between two log lines about refused connections.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Connections of a port that only clients on this machine may use, so that health checks of a container's own process
/// are answered while all others are in use.
const LOCAL_RESERVE: usize = 16;
/// Maximum open connections of the port for `/metrics`, from the files that are reserved.
const MAX_METRICS: usize = 32;
/// Accepted connections of the HTTP port beyond its limit, until they are counted and closed.
const ACCEPT_MARGIN: usize = 32;
/// Files of the process itself: logs, listeners, connections to Redis and LiveKit, connections for `/metrics`.
const RESERVED_FILES: usize = 64 + ACCEPT_MARGIN;
/// Files of each thread: its event queue, its waker and its connection to Redis.
const FILES_OF_THREAD: usize = 8;
/// Share of the files that is reserved for calls to LiveKit and for deliveries to webhook endpoints, each of which may
/// have a connection.
const RESERVED_SHARE: usize = 8;
/// Share of the connections that one port leaves to the other.
const OTHER_PORTS_SHARE: usize = 8;
/// Share of the connections of a port that one address may have by default, and maximum share of [`LOCAL_RESERVE`].
const ADDRESS_SHARE: usize = 4;
/// Minimum of connections, with any limit of files.
const MIN_CONNECTIONS: usize = 16;

/// Port that a connection is accepted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Port {
    /// HTTP API.
    Http,
    /// gRPC.
    Grpc,
    /// `/metrics` at its own address.
    Metrics,
}

impl Port {
    /// Returns the label of metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::Metrics => "metrics",
        }
    }
}

/// Maximum numbers of open connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Of the HTTP and the gRPC port together.
    pub total: usize,
    /// Of either of these ports. It leaves connections to the other port.
    pub of_port: usize,
    /// Of one client address at one port.
    pub of_address: usize,
}

impl ConnectionLimits {
    /// Returns limits below `open_files`, the maximum of open files of this process, which runs `threads` threads with
    /// their own event queues.
    ///
    /// `wanted` connections are the maximum if the files suffice. `of_address` defaults to a quarter of all.
    pub fn new(open_files: usize, threads: usize, wanted: usize, of_address: Option<usize>) -> Self {
        let reserved = RESERVED_FILES + threads * FILES_OF_THREAD + open_files / RESERVED_SHARE;
        let total = wanted.min(open_files.saturating_sub(reserved).max(MIN_CONNECTIONS));
        let of_port = (total - total / OTHER_PORTS_SHARE).max(1);
        Self { total, of_port, of_address: of_address.unwrap_or((total / ADDRESS_SHARE).max(1)) }
    }

    /// Returns the connections of a port that clients on other machines may use.
    pub fn remote(&self) -> usize {
        self.of_port - local_reserve(self.of_port)
    }
}

/// Returns the connections of a port with a maximum of `of_port` that only clients on this machine may use.
fn local_reserve(of_port: usize) -> usize {
    LOCAL_RESERVE.min(of_port / ADDRESS_SHARE)
}

/// Limit that a connection exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exceeded {
    Port,
    Address,
}

impl Exceeded {
    /// Returns the label of metrics.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::Address => "address",
        }
    }

    /// Returns the advice of the log line.
    const fn advice(self) -> &'static str {
        match self {
            Self::Port => {
                "the port has its maximum of connections; raise nofile or MAX_CONNECTIONS, or add instances"
            }
            Self::Address => {
                "the address has its maximum of connections; if it is a proxy, name it in TRUSTED_PROXIES, otherwise \
                 MAX_CONNECTIONS_PER_ADDRESS is the limit"
            }
        }
    }
}

#[derive(Default)]
struct OpenConnections {
    of_port: HashMap<Port, usize>,
    /// By the network that one customer has; see [`address_network`].
    of_address: HashMap<(Port, IpAddr), usize>,
    logged_at: Option<Instant>,
    unlogged: u64,
}

impl OpenConnections {
    fn of(&self, port: Port) -> usize {
        self.of_port.get(&port).copied().unwrap_or_default()
    }
}

/// Counter of open connections with a limit for each port and for each client address. Clones share the counts.
#[derive(Clone)]
pub struct ConnectionLimiter(Arc<Shared>);

struct Shared {
    limits: ConnectionLimits,
    trusted_proxies: Vec<IpNet>,
    open: Mutex<OpenConnections>,
    metrics: Arc<Metrics>,
}

impl ConnectionLimiter {
    /// Allows connections up to `limits`. Trusted proxies have the connections of many clients, so the limit for an
    /// address does not apply to them.
    pub fn new(limits: ConnectionLimits, trusted_proxies: &[IpNet], metrics: Arc<Metrics>) -> Self {
        let (trusted_proxies, open) = (trusted_proxies.to_vec(), Mutex::default());
        Self(Arc::new(Shared { limits, trusted_proxies, open, metrics }))
    }

    fn lock(&self) -> MutexGuard<'_, OpenConnections> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of accepted connections at which one of `workers` threads stops accepting. All of them accept
    /// a few more than the limit, which are closed at once. The rest of a burst stays in the kernel's backlog, so a
    /// burst does not use up the files of the process before it is counted.
    pub fn accepted_by_worker(&self, port: Port, workers: usize) -> usize {
        (self.max_of(port).0 + ACCEPT_MARGIN).div_ceil(workers.max(1))
    }

    /// Returns the maximum number of connections of a port, and that of one address at it.
    fn max_of(&self, port: Port) -> (usize, usize) {
        match port {
            Port::Http | Port::Grpc => (self.0.limits.of_port, self.0.limits.of_address),
            Port::Metrics => (MAX_METRICS, MAX_METRICS / ADDRESS_SHARE),
        }
    }

    /// Counts one more connection of a client; `None` if a limit is reached, and the caller closes the connection.
    pub fn open(&self, port: Port, client: IpAddr) -> Option<ConnectionPermit> {
        let client = client.to_canonical();
        let network = address_network(client);
        let mut open = self.lock();
        if let Some(exceeded) = self.exceeded(&open, port, client, network) {
            self.refuse(&mut open, port, client, exceeded);
            return None;
        }
        *open.of_port.entry(port).or_default() += 1;
        *open.of_address.entry((port, network)).or_default() += 1;
        drop(open);
        self.0.metrics.connections.with_label_values(&[port.as_str()]).inc();
        Some(ConnectionPermit { limiter: self.clone(), port, network })
    }

    fn exceeded(
        &self,
        open: &OpenConnections,
        port: Port,
        client: IpAddr,
        network: IpAddr,
    ) -> Option<Exceeded> {
        let (of_port, of_address) = self.max_of(port);
        let reserve = if client.is_loopback() { 0 } else { local_reserve(of_port) };
        let all = open.of(Port::Http) + open.of(Port::Grpc);
        let is_total_reached = port != Port::Metrics && all + reserve >= self.0.limits.total;
        if is_total_reached || open.of(port) + reserve >= of_port {
            return Some(Exceeded::Port);
        }
        let own = open.of_address.get(&(port, network)).copied().unwrap_or_default();
        let is_proxy = self.0.trusted_proxies.iter().any(|proxies| proxies.contains(&client));
        (own >= of_address && !is_proxy).then_some(Exceeded::Address)
    }

    /// Counts a refused connection, and logs at most one in [`LOG_INTERVAL`].
    fn refuse(&self, open: &mut OpenConnections, port: Port, client: IpAddr, exceeded: Exceeded) {
        let (port, reason) = (port.as_str(), exceeded.as_str());
        self.0.metrics.connections_refused.with_label_values(&[port, reason]).inc();
        if open.logged_at.is_some_and(|at| at.elapsed() < LOG_INTERVAL) {
            open.unlogged += 1;
            return;
        }
        open.logged_at = Some(Instant::now());
        let unlogged = std::mem::take(&mut open.unlogged);
        tracing::warn!(port, reason, %client, unlogged, "connection refused: {}", exceeded.advice());
    }

    fn close(&self, port: Port, network: IpAddr) {
        self.0.metrics.connections.with_label_values(&[port.as_str()]).dec();
        let mut open = self.lock();
        if let Some(count) = open.of_port.get_mut(&port) {
            *count = count.saturating_sub(1);
        }
        if let Some(own) = open.of_address.get_mut(&(port, network)) {
            *own -= 1;
            if *own == 0 {
                open.of_address.remove(&(port, network));
            }
        }
    }
}

/// Permit of one open connection. Dropping it ends the count.
pub struct ConnectionPermit {
    limiter: ConnectionLimiter,
    port: Port,
    network: IpAddr,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.limiter.close(self.port, self.network);
    }
}

#[cfg(test)]
#[path = "connection_limiter_tests.rs"]
mod tests;
