//! Contract tests: one suite for every store, one for every rooms backend, and the use cases on a fake LiveKit.

#[path = "../support/mod.rs"]
mod support;

mod audience;
mod backend;
mod batched_changes;
mod bounded_reads;
mod bulk_pool;
mod coordination;
mod crash_recovery;
mod crashing_process;
mod event_log;
mod fake_livekit;
mod fold;
mod followers;
mod idempotency;
mod instance;
mod join_tokens;
mod listings;
mod livekit_reports;
mod log_retention;
mod lua_scripts;
mod moderation;
mod operation_lock;
mod orphaned_rooms;
mod outbound_webhooks;
mod participant_pages;
mod partition_log;
mod partitioned_jobs;
mod partitioned_log;
mod random_changes;
mod rate_limits;
mod reconciler;
mod redis_store;
mod rooms;
mod service;
mod shared_connections;
mod snapshot_of_all;
mod snapshot_of_stream;
mod stores;
mod stream_lifecycle;
mod sweeper;
mod webhook_faults;
