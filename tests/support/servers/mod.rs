//! Real servers as child processes. They end when their handle is dropped or the test process ends.

mod livekit;
mod object_store;
mod ports;
mod postgres;
mod process;
mod redis;
mod rtmp;

pub use self::{
    livekit::{KEY, LiveKit, SECRET, shared_livekit, shared_livekit_with_redis},
    object_store::{BUCKET, ObjectStore, STORE_KEY, STORE_SECRET},
    ports::{free_port, port_of, wait_for_port},
    postgres::{Postgres, shared_postgres_database},
    process::{ChildProcess, run, start, start_logged, start_with, start_with_children},
    redis::{Redis, redis_server, shared_redis},
    rtmp::RtmpServer,
};
