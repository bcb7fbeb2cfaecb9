//! What went wrong with Redis: one word for metrics, and a line for the log that says what to do.

use std::fmt;

use redis::{ErrorKind, ParsingError, RedisError, ServerError, ServerErrorKind};

use crate::store::StoreError;

macro_rules! kinds {
    ($($(#[$meta:meta])* $kind:ident $word:literal $advice:literal)+) => {
        /// What went wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind { $($(#[$meta])* $kind,)+ }

        impl Kind {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$kind,)+];

            /// The word used in metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $word,)+ }
            }

            /// What it means for whoever operates Redis.
            pub(super) const fn advice(self) -> &'static str {
                match self { $(Self::$kind => $advice,)+ }
            }
        }
    };
}

// Error codes: https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors, and `shared` in server.c.
kinds! {
    /// `READONLY`: a replica was asked for a change.
    ReadOnly "readonly" "the server has become a read-only replica; the master is looked up again"
    /// The server says that it is a replica.
    Replica "replica" "the server is a replica, so another must be the master; it is looked up again"
    /// `LOADING`: the data is being read from disk.
    Loading "loading" "Redis is loading its data and answers when it is done"
    /// `BUSY`: a script does not end.
    Busy "busy" "somebody's script has held Redis for long; it answers when that ends (SCRIPT KILL ends it)"
    /// `OOM`: `maxmemory` is reached.
    OutOfMemory "oom" "Redis is full: changes are refused until there is room; reads and feeds go on (raise maxmemory)"
    /// `MISCONF`: the disk refuses.
    Misconf "misconf" "Redis cannot write to its disk and refuses changes until it can"
    /// `NOREPLICAS`: fewer replicas than `min-replicas-to-write`.
    NoReplicas "noreplicas" "too few replicas follow the master (min-replicas-to-write), so it refuses changes"
    /// `MASTERDOWN`: a replica that has lost its master.
    MasterDown "masterdown" "the server is a replica that has lost its master; the master is looked up again"
    /// `NOAUTH`: a password is wanted.
    NoAuth "noauth" "Redis wants a password: put user and password into REDIS_URL"
    /// `WRONGPASS`: the password is not the one.
    WrongPass "wrongpass" "Redis refuses the user or the password of REDIS_URL"
    /// `NOPERM`: the user may not do this.
    NoPerm "noperm" "the user of REDIS_URL may not do what the service does; the rules it needs are in docs/OPERATIONS.md"
    /// `CLUSTERDOWN`: the cluster has no owner for the slot, or this node is cut off from it.
    ClusterDown "clusterdown" "the cluster does not serve the slot of our keys; its owner is looked up again"
    /// `MOVED` again and again.
    Moved "moved" "the nodes of the cluster do not agree on who owns the slot of our keys"
    /// `TRYAGAIN`, or `ASK` that leads nowhere: the slot is on its way to another node.
    Moving "moving" "the slot of our keys is being moved to another node; changes wait until that is done"
    /// Nobody says who the master is.
    NoMaster "nomaster" "nobody says who the master is: Sentinels or nodes of the cluster do not answer, or do not know"
    /// The answer came from a server that is not the master any more.
    Superseded "superseded" "another server has become the master meanwhile; answers of the old one are not believed"
    /// Nothing listens there.
    Refused "refused" "nothing listens at the address of Redis"
    /// The certificate is not trusted.
    Certificate "certificate" "nobody vouches for Redis's certificate whom this service trusts (REDIS_CA_FILE)"
    /// No answer within the bounded wait.
    Timeout "timeout" "Redis does not answer in time"
    /// The connection broke.
    Connection "connection" "the connection to Redis broke"
    /// `ERR max number of clients reached`.
    MaxClients "maxclients" "Redis takes no more connections (maxclients)"
    /// `NOSCRIPT`: Redis has forgotten our scripts, and does so again and again.
    NoScript "noscript" "Redis forgets scripts as soon as they are loaded"
    /// Anything else.
    Other "other" "Redis answered what was not expected"
}

/// A call that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    pub kind: Kind,
    /// Redis's own words, or ours. They name commands and addresses, never credentials or values.
    pub words: String,
    /// Where a cluster says that the slot is, for `MOVED` and `ASK`.
    pub(super) redirect: Option<Redirect>,
}

/// Where to go instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Redirect {
    Moved(String),
    Ask(String),
}

impl Failure {
    pub(super) fn new(kind: Kind, words: impl Into<String>) -> Self {
        Self { kind, words: words.into(), redirect: None }
    }

    /// Whether the server that said so may not be the right one any more.
    pub(super) const fn doubts_master(&self) -> bool {
        matches!(
            self.kind,
            Kind::ReadOnly
                | Kind::Replica
                | Kind::MasterDown
                | Kind::ClusterDown
                | Kind::Timeout
                | Kind::Connection
                | Kind::Refused
        )
    }

    /// Whether nothing was done, and will be once it is settled which node of the cluster has the slot.
    pub const fn waits_for_slot(&self) -> bool {
        match self.kind {
            Kind::Moving => true,
            Kind::Moved => self.redirect.is_some(),
            _ => false,
        }
    }

    /// Whether its connection is not to be used again.
    pub(super) const fn spoils_connection(&self) -> bool {
        self.doubts_master() || matches!(self.kind, Kind::NoAuth | Kind::Superseded | Kind::Moved)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(failure.words)
    }
}

impl From<ParsingError> for Failure {
    fn from(error: ParsingError) -> Self {
        Self::new(Kind::Other, error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        // The first one of a pipeline, too.
        let answers = error.clone().into_server_errors();
        let answer = answers.as_ref().and_then(|answers| answers.first()).map(|(_, answer)| answer);
        let kind = answer.and_then(|answer| with_code(answer.code())).unwrap_or_else(|| without_code(&error));
        // `MOVED slot host:port`
        let node = answer.and_then(|answer| answer.details()?.split_whitespace().nth(1)).map(str::to_owned);
        let redirect = match answer.map(ServerError::code) {
            Some("MOVED") => node.map(Redirect::Moved),
            Some("ASK") => node.map(Redirect::Ask),
            _ => None,
        };
        Self { kind, words: error.to_string(), redirect }
    }
}

fn with_code(code: &str) -> Option<Kind> {
    Some(match code {
        "READONLY" => Kind::ReadOnly,
        "LOADING" => Kind::Loading,
        "BUSY" => Kind::Busy,
        "OOM" => Kind::OutOfMemory,
        "MISCONF" => Kind::Misconf,
        "NOREPLICAS" => Kind::NoReplicas,
        "MASTERDOWN" => Kind::MasterDown,
        "NOAUTH" => Kind::NoAuth,
        "WRONGPASS" => Kind::WrongPass,
        "NOPERM" => Kind::NoPerm,
        "CLUSTERDOWN" => Kind::ClusterDown,
        "MOVED" => Kind::Moved,
        "NOSCRIPT" => Kind::NoScript,
        "ASK" | "TRYAGAIN" => Kind::Moving,
        _ => return None,
    })
}

fn without_code(error: &RedisError) -> Kind {
    let words = error.to_string();
    match error.kind() {
        _ if words.contains("max number of clients") => Kind::MaxClients,
        // Redis 7.0's words for what a script may not do; later ones say NOPERM.
        ErrorKind::Server(ServerErrorKind::ResponseError)
            if words.contains("The user executing the script") || words.contains("ACL failure") =>
        {
            Kind::NoPerm
        }
        // What a script says within a cluster that is down.
        ErrorKind::Server(ServerErrorKind::ResponseError) if words.contains("the cluster is down") => {
            Kind::ClusterDown
        }
        ErrorKind::AuthenticationFailed => Kind::WrongPass,
        _ if is_about_certificates(&words) => Kind::Certificate,
        _ if error.is_timeout() => Kind::Timeout,
        _ if error.is_connection_refusal() => Kind::Refused,
        _ if error.is_unrecoverable_error() || error.is_io_error() => Kind::Connection,
        _ => Kind::Other,
    }
}

/// What rustls says of a certificate it does not take, which comes as an error of the network.
fn is_about_certificates(words: &str) -> bool {
    let words = words.to_lowercase();
    ["unknownissuer", "invalid peer certificate", "certificate verif"].iter().any(|part| words.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(answer: &str) -> Failure {
        let value = redis::parse_redis_value(format!("-{answer}\r\n").as_bytes()).unwrap();
        Failure::from(value.extract_error().unwrap_err())
    }

    #[test]
    fn every_answer_has_its_kind() {
        for (answer, kind) in [
            (
                "READONLY You can't write against a read only replica. script: 0, on @user_script:1.",
                Kind::ReadOnly,
            ),
            ("LOADING Redis is loading the dataset in memory", Kind::Loading),
            ("BUSY Redis is busy running a script.", Kind::Busy),
            ("OOM command not allowed when used memory > 'maxmemory'.", Kind::OutOfMemory),
            ("MISCONF Errors writing to the AOF file: No space left on device", Kind::Misconf),
            ("NOREPLICAS Not enough good replicas to write.", Kind::NoReplicas),
            (
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
                Kind::MasterDown,
            ),
            ("NOAUTH Authentication required.", Kind::NoAuth),
            ("WRONGPASS invalid username-password pair or user is disabled.", Kind::WrongPass),
            ("NOPERM this user has no permissions to run the 'get' command", Kind::NoPerm),
            (
                "ERR The user executing the script can't run this command or subcommand script: 0",
                Kind::NoPerm,
            ),
            ("CLUSTERDOWN The cluster is down", Kind::ClusterDown),
            ("MOVED 9 10.0.0.1:7001", Kind::Moved),
            ("ASK 9 10.0.0.1:7001", Kind::Moving),
            ("TRYAGAIN Multiple keys request during rehashing of slot", Kind::Moving),
            ("ERR max number of clients reached", Kind::MaxClients),
            ("NOSCRIPT No matching script.", Kind::NoScript),
            ("ERR unknown command", Kind::Other),
        ] {
            assert_eq!(of(answer).kind, kind, "{answer}");
        }
        assert_eq!(of("MOVED 9 10.0.0.1:7001").redirect, Some(Redirect::Moved("10.0.0.1:7001".to_owned())));
        assert_eq!(of("ASK 9 :7001").redirect, Some(Redirect::Ask(":7001".to_owned())));
    }

    #[test]
    fn words_are_unique() {
        let words: std::collections::HashSet<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(words.len(), Kind::ALL.len());
    }
}
