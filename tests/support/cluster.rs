//! A cluster of three masters with a replica each.

use super::{
    audience::Whereabouts,
    eventually,
    servers::{Redis, free_port, run},
};

/// For how many milliseconds a node may be silent before the others give it up: patient as long as no test wants them to,
/// because on a busy machine one that lives is silent for a second now and then.
const PATIENT: &str = "15000";
const QUICK: &str = "1500";

/// All of them; they end with the test.
pub struct Cluster {
    pub nodes: Vec<Redis>,
}

impl Cluster {
    pub async fn start() -> Self {
        let mut nodes = Vec::new();
        for _ in 0..6 {
            // The bus would be 10,000 above the port, where other tests listen.
            let bus = free_port().to_string();
            nodes.push(Redis::with(&[
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                &bus,
                "--cluster-node-timeout",
                PATIENT,
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
        cluster.until_well(6).await;
        cluster
    }

    /// Waits until so many nodes serve all slots, and every replica follows.
    pub async fn until_well(&self, count: usize) {
        eventually("a cluster that is well", || async {
            let mut well = 0;
            for node in &self.nodes {
                let Ok(info) = node.tell(&["CLUSTER", "INFO"]).await else { continue };
                let info: String = redis::from_redis_value(info).ok()?;
                let link = node.info("master_link_status").await;
                well +=
                    usize::from(info.contains("cluster_state:ok") && link.is_none_or(|link| link == "up"));
            }
            (well >= count).then_some(())
        })
        .await;
    }

    /// Kills nodes; the others notice it soon.
    pub async fn kill(&mut self, nodes: &[usize]) {
        for node in nodes {
            self.nodes[*node].kill();
        }
        self.give_up_after(QUICK).await;
    }

    /// Waits until a slot has another owner than the one that was killed, in the opinion of one that is asked.
    pub async fn until_other_owner(&self, slot: u16, asked: usize, before: usize) -> usize {
        let other = || async { self.owner(slot, asked).await.filter(|owner| *owner != before) };
        let found = eventually("another owner", other).await;
        self.give_up_after(PATIENT).await;
        found
    }

    /// For those that live.
    async fn give_up_after(&self, millis: &str) {
        for node in &self.nodes {
            let _ = node.tell(&["CONFIG", "SET", "cluster-node-timeout", millis]).await;
        }
    }

    /// `redis+cluster://`, with the first three nodes.
    pub fn url(&self) -> String {
        let seeds = self.nodes[..3].iter().map(|node| format!("127.0.0.1:{}", node.port));
        format!("redis+cluster://{}", seeds.collect::<Vec<_>>().join(","))
    }

    /// The slot of everything under this prefix.
    pub async fn slot(&self, prefix: &str) -> u16 {
        let slot = self.nodes[0].tell(&["CLUSTER", "KEYSLOT", &format!("{{{prefix}}}:tail")]).await.unwrap();
        redis::from_redis_value(slot).unwrap()
    }

    /// The node that has a slot, in the opinion of one that is asked.
    pub async fn owner(&self, slot: u16, asked: usize) -> Option<usize> {
        type Range = (u16, u16, Vec<redis::Value>);
        let ranges = self.nodes[asked].tell(&["CLUSTER", "SLOTS"]).await.ok()?;
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
        redis::from_redis_value(self.nodes[node].tell(&["CLUSTER", "MYID"]).await.unwrap()).unwrap()
    }

    /// The masters.
    pub async fn masters(&self) -> Vec<usize> {
        let mut masters = Vec::new();
        for (n, node) in self.nodes.iter().enumerate() {
            if node.info("role").await.as_deref() == Some("master") {
                masters.push(n);
            }
        }
        masters
    }

    /// Begins to move a slot, as `redis-cli --cluster reshard` does.
    pub async fn begin_to_move(&self, slot: u16, from: usize, to: usize) {
        let (slot, source, target) = (slot.to_string(), self.id(from).await, self.id(to).await);
        let set = ["CLUSTER", "SETSLOT", &slot];
        self.nodes[to].tell(&[&set[..], &["IMPORTING", &source]].concat()).await.unwrap();
        self.nodes[from].tell(&[&set[..], &["MIGRATING", &target]].concat()).await.unwrap();
    }

    /// Moves some of the keys of a slot; says how many there were to move.
    pub async fn move_keys(&self, slot: u16, from: usize, to: usize, count: usize) -> usize {
        let keys = self.keys(slot, from, count).await;
        self.migrate(&keys, from, to).await
    }

    /// Moves the keys of a slot that are chosen by name.
    pub async fn move_those_keys(
        &self,
        slot: u16,
        from: usize,
        to: usize,
        choose: impl Fn(&str) -> bool,
    ) -> usize {
        let mut keys = self.keys(slot, from, 10_000).await;
        keys.retain(|key| choose(key));
        self.migrate(&keys, from, to).await
    }

    async fn keys(&self, slot: u16, at: usize, count: usize) -> Vec<String> {
        let (slot, count) = (slot.to_string(), count.to_string());
        let keys = self.nodes[at].tell(&["CLUSTER", "GETKEYSINSLOT", &slot, &count]).await.unwrap();
        redis::from_redis_value(keys).unwrap()
    }

    async fn migrate(&self, keys: &[String], from: usize, to: usize) -> usize {
        if !keys.is_empty() {
            let port = self.nodes[to].port.to_string();
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            words.extend(keys.iter().map(String::as_str));
            self.nodes[from].tell(&words).await.unwrap();
        }
        keys.len()
    }

    /// Tells every master who has the slot now.
    pub async fn end_move(&self, slot: u16, to: usize) {
        let (slot, target) = (slot.to_string(), self.id(to).await);
        for node in std::iter::once(to).chain(self.masters().await) {
            self.nodes[node].tell(&["CLUSTER", "SETSLOT", &slot, "NODE", &target]).await.unwrap();
        }
    }

    pub fn whereabouts(&self, node: usize) -> Whereabouts {
        Whereabouts::new(self.nodes[node].url().into())
    }
}
