//! Redis of the test bed.

use super::{
    fault::{Deployment, Fault},
    support::{cluster::Cluster, fault_proxy::FaultProxy, sentinel::SentinelGroup, servers::Redis},
};

/// Redis of the instances.
pub enum Backend {
    /// One server, reached through a proxy.
    Single(Redis, FaultProxy),
    Sentinel(SentinelGroup),
    Cluster(Cluster),
    /// Servers that share the partitions.
    Servers(Vec<Redis>),
}

impl Backend {
    pub async fn start(fault: Fault) -> Self {
        match fault.deployment() {
            Deployment::Single => {
                let redis = if fault.loses_data() { Redis::start() } else { Redis::start_durable() };
                let proxy = FaultProxy::start(redis.port).await;
                Self::Single(redis, proxy)
            }
            Deployment::Sentinel => Self::Sentinel(SentinelGroup::start().await),
            Deployment::Cluster => Self::Cluster(Cluster::start().await),
            Deployment::Servers => Self::Servers(vec![Redis::start(), Redis::start_ahead(2)]),
        }
    }

    pub fn url(&self) -> String {
        match self {
            Self::Single(_, proxy) => proxy.url(),
            Self::Sentinel(group) => group.url(),
            Self::Cluster(cluster) => cluster.url(),
            Self::Servers(servers) => servers.iter().map(Redis::url).collect::<Vec<_>>().join(","),
        }
    }

    /// Returns the server that has the keys of a partition with this hash tag, as node `asked` of a cluster reports it.
    /// Sentinels: the first master.
    pub async fn master(&self, partition: usize, tag: &str, asked: usize) -> &Redis {
        match self {
            Self::Single(redis, _) => redis,
            Self::Sentinel(group) => &group.nodes[0],
            Self::Cluster(cluster) => {
                let slot = cluster.slot(tag).await;
                &cluster.nodes[cluster.owner(slot, asked).await.expect("an owner")]
            }
            Self::Servers(servers) => &servers[partition % servers.len()],
        }
    }
}
