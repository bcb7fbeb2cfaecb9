//! Failures of Redis calls: a kind for the metric's label, and advice for the log line.

use std::fmt;

use redis::{ErrorKind, ParsingError, RedisError, ServerError, ServerErrorKind};

use crate::store::StoreError;

macro_rules! kinds {
    ($($(#[$meta:meta])* $kind:ident $label:literal $advice:literal)+) => {
        /// The kind of a failure.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum FailureKind { $($(#[$meta])* $kind,)+ }

        impl FailureKind {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$kind,)+];

            /// The value of the label `kind` in metrics and logs.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $label,)+ }
            }

            /// What the failure means and what an operator can do, for the log.
            pub(super) const fn advice(self) -> &'static str {
                match self { $(Self::$kind => $advice,)+ }
            }
        }
    };
}

// Error codes: https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors, and `shared` in server.c.
kinds! {
    /// `READONLY`: a replica refused a write.
    ReadOnly "readonly" "the server is now a read-only replica; the master is looked up again"
    /// The `ROLE` probe found a replica.
    Replica "replica" "the server is a replica; the master is looked up again"
    /// `LOADING`: Redis reads its data from disk.
    Loading "loading" "Redis is loading its data from disk and answers after that"
    /// `BUSY`: a script runs for longer than `busy-reply-threshold`.
    Busy "busy" "a long-running script blocks Redis until it ends (SCRIPT KILL ends it)"
    /// `OOM`: `maxmemory` is reached.
    OutOfMemory "oom" "maxmemory is reached: writes are refused, reads and feeds continue (raise maxmemory)"
    /// `MISCONF`: Redis cannot persist to disk.
    Misconf "misconf" "Redis cannot write to its disk and refuses writes until it can"
    /// `NOREPLICAS`: fewer replicas than `min-replicas-to-write`.
    NoReplicas "noreplicas" "the master has too few replicas (min-replicas-to-write) and refuses writes"
    /// `MASTERDOWN`: a replica without a link to its master.
    MasterDown "masterdown" "the server is a replica that has lost its master; the master is looked up again"
    /// `NOAUTH`: Redis requires authentication.
    NoAuth "noauth" "Redis requires a password: set user and password in REDIS_URL"
    /// `WRONGPASS`: invalid user or password.
    WrongPass "wrongpass" "Redis refuses the user or the password of REDIS_URL"
    /// `NOPERM`: an ACL rule forbids the command, key or channel.
    NoPerm "noperm" "the ACL of the user of REDIS_URL forbids a command; docs/OPERATIONS.md has the rules that it needs"
    /// `CLUSTERDOWN`: the slot has no owner, or the node is cut off from the cluster.
    ClusterDown "clusterdown" "the cluster does not serve the slot of the keys; its owner is looked up again"
    /// `MOVED`, repeatedly.
    Moved "moved" "the nodes of the cluster disagree about the owner of the slot of the keys"
    /// `TRYAGAIN`, or `ASK` that could not be followed: the slot is being migrated.
    Moving "moving" "the slot of the keys is being migrated to another node; changes wait for the end of the migration"
    /// The lookup found no master.
    NoMaster "nomaster" "no master is known: the Sentinels or cluster nodes do not answer, or name none"
    /// The answer came from a master that was replaced meanwhile.
    Superseded "superseded" "the master was replaced during a call; the old master's answer is discarded"
    /// The address refuses TCP connections.
    Refused "refused" "no server listens at the address of Redis"
    /// The server's TLS certificate is not trusted.
    Certificate "certificate" "Redis's TLS certificate is not signed by a trusted CA (REDIS_CA_FILE)"
    /// No answer within the limit.
    Timeout "timeout" "Redis does not answer in time"
    /// The connection broke.
    Connection "connection" "the connection to Redis broke"
    /// `ERR max number of clients reached`.
    MaxClients "maxclients" "Redis accepts no more connections (raise maxclients)"
    /// No connection of the pool was free in time. Redis is not involved.
    PoolBusy "poolbusy" "all connections for large answers are in use; limit the callers that read lists and histories"
    /// `NOSCRIPT`, although the script was loaded a moment before.
    NoScript "noscript" "Redis loses scripts as soon as they are loaded"
    /// Any other failure.
    Other "other" "Redis gave an unexpected answer"
}

impl FailureKind {
    /// Whether the connection may be dead. No connection opened before the failure is then used again.
    pub(super) const fn is_breakage(self) -> bool {
        matches!(self, Self::Timeout | Self::Connection | Self::Refused)
    }

    /// Whether the server may no longer be the master.
    pub(super) const fn requires_master_lookup(self) -> bool {
        self.is_breakage()
            || matches!(self, Self::ReadOnly | Self::Replica | Self::MasterDown | Self::ClusterDown)
    }

    /// Whether the connection must not be used again.
    pub(super) const fn discards_connection(self) -> bool {
        self.requires_master_lookup() || matches!(self, Self::NoAuth)
    }
}

/// A failed call or connection attempt.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The kind.
    pub kind: FailureKind,
    /// Redis's message or this module's. It may name commands and addresses, never credentials or values.
    pub(super) message: String,
    /// The node that `MOVED` or `ASK` names.
    pub(super) redirect: Option<Redirect>,
}

/// A cluster node's redirect, with the address as the node announces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Redirect {
    Moved(String),
    Ask(String),
}

impl Failure {
    pub(super) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), redirect: None }
    }

    /// Whether Redis did not execute the request because of a slot migration (`MOVED`, `ASK`, `TRYAGAIN`). A retry is
    /// safe.
    pub const fn is_slot_migrating(&self) -> bool {
        match self.kind {
            FailureKind::Moving => true,
            FailureKind::Moved => self.redirect.is_some(),
            _ => false,
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(failure.message)
    }
}

impl From<ParsingError> for Failure {
    fn from(error: ParsingError) -> Self {
        Self::new(FailureKind::Other, error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        // For a pipeline, the first error in it.
        let answers = error.clone().into_server_errors();
        let answer = answers.as_ref().and_then(|answers| answers.first()).map(|(_, answer)| answer);
        let kind =
            answer.and_then(|answer| kind_of_code(answer.code())).unwrap_or_else(|| kind_of_error(&error));
        // `MOVED slot host:port`
        let node = answer.and_then(|answer| answer.details()?.split_whitespace().nth(1)).map(str::to_owned);
        let redirect = match answer.map(ServerError::code) {
            Some("MOVED") => node.map(Redirect::Moved),
            Some("ASK") => node.map(Redirect::Ask),
            _ => None,
        };
        Self { kind, message: error.to_string(), redirect }
    }
}

/// The kind for the error code of an answer; `None` for unknown codes.
fn kind_of_code(code: &str) -> Option<FailureKind> {
    Some(match code {
        "READONLY" => FailureKind::ReadOnly,
        "LOADING" => FailureKind::Loading,
        "BUSY" => FailureKind::Busy,
        "OOM" => FailureKind::OutOfMemory,
        "MISCONF" => FailureKind::Misconf,
        "NOREPLICAS" => FailureKind::NoReplicas,
        "MASTERDOWN" => FailureKind::MasterDown,
        "NOAUTH" => FailureKind::NoAuth,
        "WRONGPASS" => FailureKind::WrongPass,
        "NOPERM" => FailureKind::NoPerm,
        "CLUSTERDOWN" => FailureKind::ClusterDown,
        "MOVED" => FailureKind::Moved,
        "NOSCRIPT" => FailureKind::NoScript,
        "ASK" | "TRYAGAIN" => FailureKind::Moving,
        _ => return None,
    })
}

/// The kind of an error without a known code.
fn kind_of_error(error: &RedisError) -> FailureKind {
    let message = error.to_string();
    match error.kind() {
        _ if message.contains("max number of clients") => FailureKind::MaxClients,
        // Redis 7.0's message for a forbidden command in a script; later versions answer NOPERM.
        ErrorKind::Server(ServerErrorKind::ResponseError)
            if message.contains("The user executing the script") || message.contains("ACL failure") =>
        {
            FailureKind::NoPerm
        }
        // A script's message in a cluster that is down.
        ErrorKind::Server(ServerErrorKind::ResponseError) if message.contains("the cluster is down") => {
            FailureKind::ClusterDown
        }
        ErrorKind::AuthenticationFailed => FailureKind::WrongPass,
        _ if is_certificate_error(&message) => FailureKind::Certificate,
        _ if error.is_timeout() => FailureKind::Timeout,
        _ if error.is_connection_refusal() => FailureKind::Refused,
        _ if error.is_unrecoverable_error() || error.is_io_error() => FailureKind::Connection,
        _ => FailureKind::Other,
    }
}

/// Whether a message is rustls's refusal of a certificate, which redis-rs reports as an I/O error without a kind.
fn is_certificate_error(message: &str) -> bool {
    let message = message.to_lowercase();
    ["unknownissuer", "invalid peer certificate", "certificate verif"]
        .iter()
        .any(|part| message.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(answer: &str) -> Failure {
        let value = redis::parse_redis_value(format!("-{answer}\r\n").as_bytes()).unwrap();
        Failure::from(value.extract_error().unwrap_err())
    }

    #[test]
    fn failure_from_error_answer_has_kind_of_its_code() {
        for (answer, kind) in [
            (
                "READONLY You can't write against a read only replica. script: 0, on @user_script:1.",
                FailureKind::ReadOnly,
            ),
            ("LOADING Redis is loading the dataset in memory", FailureKind::Loading),
            ("BUSY Redis is busy running a script.", FailureKind::Busy),
            ("OOM command not allowed when used memory > 'maxmemory'.", FailureKind::OutOfMemory),
            ("MISCONF Errors writing to the AOF file: No space left on device", FailureKind::Misconf),
            ("NOREPLICAS Not enough good replicas to write.", FailureKind::NoReplicas),
            (
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
                FailureKind::MasterDown,
            ),
            ("NOAUTH Authentication required.", FailureKind::NoAuth),
            ("WRONGPASS invalid username-password pair or user is disabled.", FailureKind::WrongPass),
            ("NOPERM this user has no permissions to run the 'get' command", FailureKind::NoPerm),
            (
                "ERR The user executing the script can't run this command or subcommand script: 0",
                FailureKind::NoPerm,
            ),
            ("CLUSTERDOWN The cluster is down", FailureKind::ClusterDown),
            ("MOVED 9 10.0.0.1:7001", FailureKind::Moved),
            ("ASK 9 10.0.0.1:7001", FailureKind::Moving),
            ("TRYAGAIN Multiple keys request during rehashing of slot", FailureKind::Moving),
            ("ERR max number of clients reached", FailureKind::MaxClients),
            ("NOSCRIPT No matching script.", FailureKind::NoScript),
            ("ERR unknown command", FailureKind::Other),
        ] {
            assert_eq!(failure(answer).kind, kind, "{answer}");
        }
        assert_eq!(
            failure("MOVED 9 10.0.0.1:7001").redirect,
            Some(Redirect::Moved("10.0.0.1:7001".to_owned()))
        );
        assert_eq!(failure("ASK 9 :7001").redirect, Some(Redirect::Ask(":7001".to_owned())));
    }

    #[test]
    fn failure_kind_labels_are_unique() {
        let labels: std::collections::HashSet<_> =
            FailureKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(labels.len(), FailureKind::ALL.len());
    }
}
