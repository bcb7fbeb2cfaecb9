//! Storage of streams in Redis, which holds all state that instances share.
//!
//! Every change is one Lua script, or part of one that makes several. State and event are therefore written together or
//! not at all, and concurrent instances need no locks. Times come from Redis.
//!
//! Import direction; this file only declares and re-exports:
//! ```text
//! codec, hash_tags, script_keys ← keys ← state_cache ← scripts ← batches ← client (on connection)
//!             ← egress_changes ← changes ← batching
//!             ← media_reads ← cached_reads, stream_store, live_streams, feed, followers, idempotency, leases,
//! listing_history,
//!             maintenance
//!             ← layout, partition_log, rate_limit, room_names, visits, webhook_endpoints ← inspect
//! ```

mod batches;
mod batching;
mod cached_reads;
mod changes;
mod client;
mod codec;
mod connection;
mod egress_changes;
mod feed;
mod followers;
mod hash_tags;
mod idempotency;
mod inspect;
mod keys;
mod layout;
mod leases;
mod listing_history;
mod live_streams;
mod maintenance;
mod media_reads;
mod partition_log;
mod rate_limit;
mod room_names;
mod script_keys;
mod scripts;
mod state_cache;
mod stream_store;
mod visits;
mod webhook_endpoints;

pub use self::{
    client::RedisStore,
    connection::{Address, Failure, FailureKind},
    hash_tags::hash_tag,
    inspect::{Place, PubSubError, ServerInfo},
    layout::Layout,
};
