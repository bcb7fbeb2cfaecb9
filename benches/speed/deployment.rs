//! Settings of the service and of Redis on which the measurements depend.

use std::io::PipeWriter;

/// Settings on which the measurements depend.
#[derive(Clone, Copy)]
pub struct Deployment {
    /// Persistence arguments of Redis.
    pub redis: &'static [&'static str],
    /// `RUST_LOG`; empty for the default filter.
    pub log: &'static str,
    /// Number of partitions, each on a Redis server of its own.
    pub partitions: u16,
}

const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "everysec"];

impl Deployment {
    /// As in docker-compose.yml: Redis persists changes, and the service logs at its default level.
    pub const DEPLOYED: Self = Self { redis: DURABLE, log: "", partitions: 1 };
    /// Without persistence and almost without a log.
    pub const BARE: Self = Self { redis: &[], log: "error", partitions: 1 };
    /// As deployed, without a log.
    pub const SILENT: Self = Self { redis: DURABLE, log: "off", partitions: 1 };
    /// As deployed, with a log line for each read too.
    pub const VERBOSE: Self =
        Self { redis: DURABLE, log: "warn,livestream_orchestrator=debug", partitions: 1 };

    /// As deployed, with as many partitions and Redis servers.
    pub const fn partitioned(partitions: u16) -> Self {
        Self { partitions, ..Self::DEPLOYED }
    }

    /// Returns a pipe for the log; a thread reads it to its end.
    pub fn log_reader() -> PipeWriter {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        writer
    }
}
