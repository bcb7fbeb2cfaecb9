//! One Redis server: its address, connections to it with bounded waits, and the probe that verifies that it is a
//! master.

use std::{fmt, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, ProtocolVersion, RedisError, Value,
    aio::{AsyncPushSender, MultiplexedConnection},
};

use super::failure::{Failure, FailureKind};

/// The limit for opening a connection: TCP, TLS and authentication.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The limit for the answer to a command.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Host and port of a Redis server or a Sentinel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl Node {
    /// Parses `host:port`, `[IPv6 address]:port` or a host without a port. `None` for anything else.
    pub(super) fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()?),
            _ => (text, default_port),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_host = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "@/?#".contains(c));
        is_host.then(|| Self { host: host.to_owned(), port })
    }

    /// Parses the `host:port` that this cluster node announces for a node. An empty host or `?` means the host under
    /// which this node was reached.
    pub(super) fn parse_announced(&self, text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = if ["", "?"].contains(&host) { &self.host } else { host };
        Some(Self { host: host.to_owned(), port: port.parse().ok()? })
    }
}

/// Opens a connection for commands. Opening and each answer are limited to 2 s.
///
/// # Errors
/// Redis refuses the connection or the credentials, the network fails, or the wait is over.
pub(super) async fn open(client: &Client) -> Result<MultiplexedConnection, Failure> {
    open_with_timeouts(client, CONNECT_TIMEOUT, RESPONSE_TIMEOUT).await
}

/// As [`open`], with limits for opening and for each answer.
///
/// # Errors
/// As [`open`].
pub(super) async fn open_with_timeouts(
    client: &Client,
    connect: Duration,
    response: Duration,
) -> Result<MultiplexedConnection, Failure> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(connect))
        .set_response_timeout(Some(response));
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}

/// Opens a connection that passes what Redis publishes, and the end of the connection, on to `receive`. The protocol is
/// RESP3, which distinguishes messages from answers.
///
/// # Errors
/// As [`open`].
pub(super) async fn open_for_messages(
    client: &Client,
    receive: impl AsyncPushSender,
) -> Result<MultiplexedConnection, Failure> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_push_sender(receive);
    let info = client.get_connection_info().clone();
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let client = Client::open(info.set_redis_settings(settings))?;
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}

/// The command that verifies a connection and its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// `ROLE`: the server answers and is a master. A replica would answer reads with stale data.
    Role,
    /// `PING`, where `ROLE` is not permitted: the server answers.
    Ping,
}

const PING_PAYLOAD: &str = "still there?";

/// Probes a connection. Returns the probe that succeeded: [`Probe::Ping`] where `ROLE` was requested and is not
/// permitted.
///
/// # Errors
/// [`FailureKind::Replica`] for a replica, [`FailureKind::Other`] for an unexpected answer, and connection failures.
pub(super) async fn probe(connection: &mut MultiplexedConnection, probe: Probe) -> Result<Probe, Failure> {
    if probe == Probe::Role && is_master_role(redis::cmd("ROLE").query_async(connection).await)? {
        return Ok(Probe::Role);
    }
    let answer: String = redis::cmd("PING").arg(PING_PAYLOAD).query_async(connection).await?;
    if answer == PING_PAYLOAD { Ok(Probe::Ping) } else { Err(unexpected("PING")) }
}

/// Whether an answer to `ROLE` is that of a master. `false` where the user may not run `ROLE`, or where a managed Redis
/// does not have it.
///
/// # Errors
/// [`FailureKind::Replica`] for a replica, [`FailureKind::Other`] for an unexpected answer, and other failures as they
/// are.
pub(super) fn is_master_role(answer: Result<Value, RedisError>) -> Result<bool, Failure> {
    let parts = match answer.map_err(Failure::from) {
        Ok(Value::Array(parts)) => parts,
        Ok(_) => return Err(unexpected("ROLE")),
        Err(failure) if matches!(failure.kind, FailureKind::NoPerm | FailureKind::Other) => return Ok(false),
        Err(failure) => return Err(failure),
    };
    match parts.first() {
        Some(Value::BulkString(role)) if role == b"master" => Ok(true),
        Some(Value::BulkString(role)) if role == b"slave" => {
            Err(Failure::new(FailureKind::Replica, "the server is a replica"))
        }
        _ => Err(unexpected("ROLE")),
    }
}

fn unexpected(command: &str) -> Failure {
    Failure::new(FailureKind::Other, format!("unexpected answer to {command}"))
}
