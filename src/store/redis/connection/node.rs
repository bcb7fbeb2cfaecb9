//! One server, and connections to it.

use std::{fmt, time::Duration};

use redis::{AsyncConnectionConfig, Client, RedisError, Value, aio::MultiplexedConnection};

use super::{
    CONNECT_TIMEOUT, RESPONSE_TIMEOUT,
    failure::{Failure, Kind},
};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl Node {
    /// `host:port`, `[address]:port` or only the host.
    pub(super) fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()?),
            _ => (text, default_port),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_host = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "@/?#".contains(c));
        is_host.then(|| Self { host: host.to_owned(), port })
    }

    /// As a node of a cluster names another: without a host where it is its own.
    pub(super) fn named_by(&self, text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = if ["", "?"].contains(&host) { &self.host } else { host };
        Some(Self { host: host.to_owned(), port: port.parse().ok()? })
    }
}

/// Opens a connection for commands, with bounded waits.
///
/// # Errors
/// Redis's, and those of the network.
pub(super) async fn open(client: &Client) -> Result<MultiplexedConnection, Failure> {
    open_within(client, CONNECT_TIMEOUT, RESPONSE_TIMEOUT).await
}

/// As [`open`], for somebody who has less time.
///
/// # Errors
/// Redis's, and those of the network.
pub(super) async fn open_within(
    client: &Client,
    connect: Duration,
    response: Duration,
) -> Result<MultiplexedConnection, Failure> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(connect))
        .set_response_timeout(Some(response));
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}

/// What a connection is asked, before it is used, to show that it is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Whether this is the master. A replica answers reads with what was.
    Role,
    /// Where `ROLE` is not allowed: whether it answers at all.
    Ping,
}

/// The answer that a ping asks for.
const PING: &str = "still there?";

/// Asks a connection whether it is one to a master that answers.
///
/// # Errors
/// [`Kind::Replica`] for a replica, and whatever the connection says.
pub(super) async fn examine(
    connection: &mut MultiplexedConnection,
    question: Question,
) -> Result<Question, Failure> {
    if question == Question::Role {
        let role = redis::cmd("ROLE").query_async(connection).await;
        if shows_master(role)? {
            return Ok(Question::Role);
        }
    }
    let answer: String = redis::cmd("PING").arg(PING).query_async(connection).await?;
    if answer == PING { Ok(Question::Ping) } else { Err(Failure::new(Kind::Other, "somebody else's answer")) }
}

/// Whether the answer to `ROLE` is a master's; not if it cannot be asked for: this user may not, or a managed Redis has no
/// such command.
///
/// # Errors
/// [`Kind::Replica`] for a replica's, and whatever it says instead.
pub(super) fn shows_master(answer: Result<Value, RedisError>) -> Result<bool, Failure> {
    let parts = match answer.map_err(Failure::from) {
        Ok(Value::Array(parts)) => parts,
        Ok(_) => return Err(Failure::new(Kind::Other, "somebody else's answer")),
        Err(failure) if matches!(failure.kind, Kind::NoPerm | Kind::Other) => return Ok(false),
        Err(failure) => return Err(failure),
    };
    match parts.first() {
        Some(Value::BulkString(role)) if role == b"master" => Ok(true),
        Some(Value::BulkString(role)) if role == b"slave" => {
            Err(Failure::new(Kind::Replica, "the server is a replica"))
        }
        _ => Err(Failure::new(Kind::Other, "somebody else's answer")),
    }
}
