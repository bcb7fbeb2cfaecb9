//! Access to Redis in every deployment: one server, a master behind Sentinel, or a cluster.
//!
//! All keys of a partition share one hash slot, so one server at a time, the master, has all of them. The rest of the
//! store sees calls and subscriptions, never a server. Partitions on one master share its connections.
//!
//! # Invariants
//! - An answer counts only from the current master. Each command carries a `ROLE` probe; the answer of a replica, or of
//!   a master that was replaced meanwhile, is discarded.
//! - A request is repeated only where the answer says that it was not executed: `MOVED`, `ASK`, `TRYAGAIN`, `NOSCRIPT`.
//! - Every wait is bounded: 4 s for the lookup of the master, 2 s for an answer, 4 s for opening a connection, 4 s
//!   behind another caller that opens one, 4 s for a connection of the pool.
//! - A connection idle for 100 ms is probed before it carries a request.
//! - After a connection breaks or times out, no connection to its server opened before it is used again.
//! - A wait for the pool that ends in `poolbusy` says nothing about Redis: no connection and no master becomes suspect.
//! - Lookups of the master are serialised: stale lookups must not overwrite newer ones. The epoch grows with every new
//!   address and never shrinks.
//! - The answer of a Sentinel that has missed a failover never replaces a newer one, unless all Sentinels agree on it.
//! - A subscription ends when its connection ends, when the master is replaced, or when the slot moves.
//! - Credentials never appear in failures or logs.
//!
//! # States
//! The connection of one runtime to one master (`runtime_connection`):
//! ```mermaid
//! stateDiagram-v2
//!     [*] --> Closed
//!     Closed --> Opening: call
//!     Opening --> Fresh: opened, probe passes
//!     Opening --> Closed: failure, the backoff starts, the master is suspect
//!     Fresh --> Fresh: answer
//!     Fresh --> Idle: 100 ms without an answer
//!     Fresh --> Closed: timeout, broken, READONLY, MOVED
//!     Fresh --> Opening: call, after another connection to the server broke
//!     Idle --> Fresh: call, probe passes
//!     Idle --> Opening: call, probe fails
//! ```
//! The address of a partition's master (`locator`):
//! ```mermaid
//! stateDiagram-v2
//!     [*] --> Unknown
//!     Unknown --> Known: lookup, epoch 0
//!     Known --> Known: MOVED or Sentinel poll, epoch + 1 for another address
//!     Known --> Suspect: timeout, broken, READONLY, replica
//!     Suspect --> Known: lookup on next use, epoch + 1 for another address
//! ```
//! A failed lookup leaves the state as it is.
//!
//! # Without it
//! Each mechanism can be removed on its own, at this price:
//! - Without the locator (a plain connection to one address), a failover is an outage until a restart.
//! - Without the probe behind each command, a demoted master answers reads with stale data until it refuses a write.
//! - Without the watch on subscriptions, a replaced master that still answers keeps its subscribers. They receive no
//!   event of the new master until the relay's next comparison with the log.
//! - Without the backoff, every request during an outage opens a connection.
//! - With a pool in place of one connection for each runtime, `GET state` costs 2.2 times the CPU time
//!   (docs/DECISIONS.md).
//! - Without the pool for bulk commands, small requests wait behind pages of a megabyte (docs/DECISIONS.md).
//!
//! # Import direction
//! Each file imports only files to its left; `mod.rs` only re-exports:
//! ```text
//! failure ← node, backoff, log_throttle ← address ← sentinel, cluster ← locator ← master_connection
//!         ← connection_factory ← runtime_connection, bulk_pool, routes ← subscriptions
//!         ← servers, request ← connector
//! ```

mod address;
mod backoff;
mod bulk_pool;
mod cluster;
mod connection_factory;
mod connector;
mod failure;
mod locator;
mod log_throttle;
mod master_connection;
mod node;
mod request;
mod routes;
mod runtime_connection;
mod sentinel;
mod servers;
mod subscriptions;

pub use self::{
    address::Address,
    connector::{Connector, Traffic},
    failure::{Failure, FailureKind},
    locator::MasterWatch,
    node::RESPONSE_TIMEOUT,
    request::Request,
    subscriptions::Subscription,
};
