//! Real servers as child processes. They end when their handle is dropped or the test process ends.

mod livekit;
mod ports;
mod process;
mod redis;

pub use self::{
    livekit::{KEY, LiveKit, SECRET, shared_livekit},
    ports::{free_port, port_of, wait_for_port},
    process::{ChildProcess, run, start, start_logged, start_with, start_with_children},
    redis::{Redis, redis_server, shared_redis},
};
