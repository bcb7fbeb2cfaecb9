//! The logs in Redis: which server has those of each partition.

use livestream_orchestrator::{
    domain::{Partition, Partitioning},
    store::redis::hash_tag,
};

use super::{
    backend::Backend,
    support::recording::{LogAuditor, SharedUrl},
};

/// The servers that have the logs.
pub struct Logs {
    prefix: String,
    partitioning: Partitioning,
    /// Address of the server of each partition.
    urls: Vec<SharedUrl>,
}

impl Logs {
    pub async fn locate(backend: &Backend, prefix: &str, partitioning: Partitioning) -> Self {
        let mut logs = Self { prefix: prefix.to_owned(), partitioning, urls: Vec::new() };
        for partition in partitioning.all() {
            let server = backend.master(partition.index(), &logs.tag(partition), 0).await;
            logs.urls.push(SharedUrl::new(server.url().into()));
        }
        logs
    }

    /// Returns the hash tag of the keys of a partition.
    pub fn tag(&self, partition: Partition) -> String {
        hash_tag(&self.prefix, partition, self.partitioning)
    }

    /// Returns the partition in which a fault happens: any, but not always that of the first keys.
    pub fn faulted(&self) -> Partition {
        self.partitioning.all().nth(1).unwrap_or(Partition::FIRST)
    }

    /// Copies the log of one stream, or of all streams (`None`).
    pub fn audit(&self, stream: Option<&str>) -> LogAuditor {
        let server = |partition: Partition| self.urls[partition.index()].clone();
        LogAuditor::start_in(&self.prefix, self.partitioning, server, stream)
    }

    /// Makes the auditors read the logs from the present masters, as node `asked` of a cluster reports them.
    pub async fn follow(&self, backend: &Backend, asked: usize) {
        for partition in self.partitioning.all() {
            let server = backend.master(partition.index(), &self.tag(partition), asked).await;
            self.move_to(partition, server.url());
        }
    }

    /// Makes the auditors read the logs of a partition from this server.
    pub fn move_to(&self, partition: Partition, url: String) {
        *self.urls[partition.index()].lock().unwrap() = url;
    }
}
