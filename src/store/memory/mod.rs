//! Store in memory, for dev mode. The contract tests compare the Redis store with it.
//!
//! `state` holds the data; each other file implements one subject of the store's traits on it.

mod coordination;
mod feed;
mod followers;
mod idempotency;
mod maintenance;
mod rate_limit;
mod state;
mod stream_store;
mod visits;
mod webhook_endpoints;

pub use self::state::{MemoryStore, TimeSource};
