//! A Redis Cluster of three masters with one replica each.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use super::{
    eventually,
    recording::SharedUrl,
    servers::{Redis, free_port, run},
};

/// Node timeout in milliseconds while no failover is expected. On a busy machine a live node may be silent for a
/// second.
const LONG_NODE_TIMEOUT: &str = "15000";
/// Node timeout in milliseconds while a failover is expected.
const SHORT_NODE_TIMEOUT: &str = "1500";
/// Node timeout in milliseconds during a manual failover. A replica whose election fails, as on a busy machine, waits
/// four times the node timeout before the next one.
const FAILOVER_NODE_TIMEOUT: &str = "3000";
/// Time between two commands of a manual failover. Each command starts it anew, and Redis abandons one after 5 s
/// (`CLUSTER_MF_TIMEOUT`).
const FAILOVER_INTERVAL: Duration = Duration::from_secs(6);

/// The nodes, which end with the test.
pub struct Cluster {
    pub nodes: Vec<Redis>,
}

impl Cluster {
    pub async fn start() -> Self {
        let mut nodes = Vec::new();
        for _ in 0..6 {
            // The default bus port is 10,000 above the port, where other tests listen.
            let bus = free_port().to_string();
            nodes.push(Redis::start_with(&[
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                &bus,
                "--cluster-node-timeout",
                LONG_NODE_TIMEOUT,
                "--repl-diskless-sync-delay",
                "0",
            ]));
        }
        let addresses: Vec<_> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        let mut args = vec!["--cluster", "create"];
        args.extend(addresses.iter().map(String::as_str));
        args.extend(["--cluster-replicas", "1", "--cluster-yes"]);
        tokio::task::block_in_place(|| run("redis-cli", &args, ""));
        let cluster = Self { nodes };
        cluster.wait_until_healthy(6).await;
        cluster
    }

    /// Waits until `count` nodes report a healthy cluster and, if they are replicas, a link to their master.
    pub async fn wait_until_healthy(&self, count: usize) {
        eventually("a healthy cluster", || async {
            let mut healthy = 0;
            for node in &self.nodes {
                let Ok(info) = node.execute(&["CLUSTER", "INFO"]).await else { continue };
                let info: String = redis::from_redis_value(info).ok()?;
                let link = node.info("master_link_status").await;
                healthy +=
                    usize::from(info.contains("cluster_state:ok") && link.is_none_or(|link| link == "up"));
            }
            (healthy >= count).then_some(())
        })
        .await;
    }

    /// Waits until the replica of a node has all that the node has written up to now.
    pub async fn wait_until_replicated(&self, node: usize) {
        let number = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok());
        let written = number(self.nodes[node].info("master_repl_offset").await).unwrap();
        let port = self.nodes[node].port.to_string();
        eventually("the replica of a node", || async {
            for replica in &self.nodes {
                if replica.info("master_port").await.as_ref() == Some(&port)
                    && number(replica.info("slave_repl_offset").await) >= Some(written)
                {
                    return Some(());
                }
            }
            None
        })
        .await;
    }

    /// Kills nodes and shortens the node timeout of the others.
    pub async fn kill(&mut self, nodes: &[usize]) {
        for node in nodes {
            self.nodes[*node].kill();
        }
        self.set_node_timeout(SHORT_NODE_TIMEOUT).await;
    }

    /// Waits until node `asked` reports a new owner of the slot; returns that owner.
    pub async fn wait_for_new_owner(&self, slot: u16, asked: usize, before: usize) -> usize {
        let new_owner = || async { self.owner(slot, asked).await.filter(|owner| *owner != before) };
        let found = eventually("a new owner of the slot", new_owner).await;
        self.set_node_timeout(LONG_NODE_TIMEOUT).await;
        found
    }

    /// Makes a replica the owner of the slot by a manual failover, as node `asked` reports it.
    pub async fn fail_over(&self, slot: u16, replica: usize, asked: usize) {
        self.set_node_timeout(FAILOVER_NODE_TIMEOUT).await;
        let next = Cell::new(Instant::now());
        eventually("the failover", || async {
            if self.owner(slot, asked).await == Some(replica) {
                return Some(());
            }
            if Instant::now() >= next.get() {
                next.set(Instant::now() + FAILOVER_INTERVAL);
                let _ = self.nodes[replica].execute(&["CLUSTER", "FAILOVER"]).await;
            }
            None
        })
        .await;
        self.set_node_timeout(LONG_NODE_TIMEOUT).await;
    }

    /// Sets the node timeout of all live nodes.
    async fn set_node_timeout(&self, millis: &str) {
        for node in &self.nodes {
            let _ = node.execute(&["CONFIG", "SET", "cluster-node-timeout", millis]).await;
        }
    }

    /// The URL `redis+cluster://` with the first three nodes as seeds.
    pub fn url(&self) -> String {
        let seeds = self.nodes[..3].iter().map(|node| format!("127.0.0.1:{}", node.port));
        format!("redis+cluster://{}", seeds.collect::<Vec<_>>().join(","))
    }

    /// The slot of all keys with this prefix, as the first node that runs computes it.
    pub async fn slot(&self, prefix: &str) -> u16 {
        let key = format!("{{{prefix}}}:tail");
        for node in &self.nodes {
            if let Ok(slot) = node.execute(&["CLUSTER", "KEYSLOT", &key]).await {
                return redis::from_redis_value(slot).unwrap();
            }
        }
        panic!("no node of the cluster runs");
    }

    /// The owner of a slot, as node `asked` reports it.
    pub async fn owner(&self, slot: u16, asked: usize) -> Option<usize> {
        type Range = (u16, u16, Vec<redis::Value>);
        let ranges = self.nodes[asked].execute(&["CLUSTER", "SLOTS"]).await.ok()?;
        let ranges: Vec<Vec<redis::Value>> = redis::from_redis_value(ranges).ok()?;
        for mut range in ranges {
            range.truncate(3);
            let (first, last, master): Range = redis::from_redis_value(redis::Value::Array(range)).ok()?;
            if (first..=last).contains(&slot) {
                let port: u16 = redis::from_redis_value(master[1].clone()).ok()?;
                return self.nodes.iter().position(|node| node.port == port);
            }
        }
        None
    }

    async fn id(&self, node: usize) -> String {
        redis::from_redis_value(self.nodes[node].execute(&["CLUSTER", "MYID"]).await.unwrap()).unwrap()
    }

    pub async fn masters(&self) -> Vec<usize> {
        let mut masters = Vec::new();
        for (n, node) in self.nodes.iter().enumerate() {
            if node.info("role").await.as_deref() == Some("master") {
                masters.push(n);
            }
        }
        masters
    }

    /// Sets a slot to MIGRATING and IMPORTING, as `redis-cli --cluster reshard` does.
    pub async fn begin_migration(&self, slot: u16, from: usize, to: usize) {
        let (slot, source, target) = (slot.to_string(), self.id(from).await, self.id(to).await);
        let set = ["CLUSTER", "SETSLOT", &slot];
        self.nodes[to].execute(&[&set[..], &["IMPORTING", &source]].concat()).await.unwrap();
        self.nodes[from].execute(&[&set[..], &["MIGRATING", &target]].concat()).await.unwrap();
    }

    /// Moves up to `count` keys of a slot; returns the number of moved keys.
    pub async fn move_keys(&self, slot: u16, from: usize, to: usize, count: usize) -> usize {
        let keys = self.keys(slot, from, count).await;
        self.migrate(&keys, from, to).await
    }

    /// Moves the keys of a slot whose names match; returns the number of moved keys.
    pub async fn move_matching_keys(
        &self,
        slot: u16,
        from: usize,
        to: usize,
        matches: impl Fn(&str) -> bool,
    ) -> usize {
        let mut keys = self.keys(slot, from, 10_000).await;
        keys.retain(|key| matches(key));
        self.migrate(&keys, from, to).await
    }

    async fn keys(&self, slot: u16, at: usize, count: usize) -> Vec<String> {
        let (slot, count) = (slot.to_string(), count.to_string());
        let keys = self.nodes[at].execute(&["CLUSTER", "GETKEYSINSLOT", &slot, &count]).await.unwrap();
        redis::from_redis_value(keys).unwrap()
    }

    async fn migrate(&self, keys: &[String], from: usize, to: usize) -> usize {
        if !keys.is_empty() {
            let port = self.nodes[to].port.to_string();
            let mut command = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            command.extend(keys.iter().map(String::as_str));
            self.nodes[from].execute(&command).await.unwrap();
        }
        keys.len()
    }

    /// Assigns the slot to its new owner on every master.
    pub async fn finish_migration(&self, slot: u16, to: usize) {
        let (slot, target) = (slot.to_string(), self.id(to).await);
        for node in std::iter::once(to).chain(self.masters().await) {
            self.nodes[node].execute(&["CLUSTER", "SETSLOT", &slot, "NODE", &target]).await.unwrap();
        }
    }

    /// URL of a node, for a [`LogAuditor`](super::recording::LogAuditor). The test changes it when the slot moves.
    pub fn shared_url(&self, node: usize) -> SharedUrl {
        SharedUrl::new(self.nodes[node].url().into())
    }
}
