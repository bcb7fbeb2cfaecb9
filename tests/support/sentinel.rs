//! A Redis master with two replicas, monitored by three Sentinels.

use std::{fs, path::PathBuf};

use super::{
    eventually,
    recording::SharedUrl,
    servers::{ChildProcess, Redis, free_port, redis_server, start, wait_for_port},
    unique,
};

/// Name of the master at the Sentinels.
pub const MASTER: &str = "the-master";

/// `down-after-milliseconds` while no failover is expected. On a busy machine a live server may be silent for a second,
/// and an unexpected failover loses the writes that are not replicated.
const LONG_DOWN_AFTER: &str = "60000";
/// `down-after-milliseconds` while a failover is expected.
const SHORT_DOWN_AFTER: &str = "1000";

/// The servers, which end with the test.
pub struct SentinelGroup {
    pub nodes: Vec<Redis>,
    sentinels: Vec<Sentinel>,
}

/// One Sentinel.
pub struct Sentinel {
    pub port: u16,
    folder: PathBuf,
    _running: ChildProcess,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Sentinel {
    /// Starts a Sentinel that monitors a master. `more` is appended to its configuration.
    pub fn start(master: u16, quorum: usize, more: &str) -> Self {
        let (port, folder) = (free_port(), std::env::temp_dir().join(unique("sentinel")));
        fs::create_dir(&folder).unwrap();
        let file = folder.join("sentinel.conf");
        let config = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {MASTER} 127.0.0.1 {master} {quorum}\n\
             sentinel down-after-milliseconds {MASTER} {LONG_DOWN_AFTER}\n\
             sentinel failover-timeout {MASTER} 5000\n{more}",
            folder.display()
        );
        fs::write(&file, config).unwrap();
        let running = start(&redis_server(), &[&file.to_string_lossy(), "--sentinel"]);
        wait_for_port(port);
        Self { port, folder, _running: running }
    }

    async fn query_strings(&self, command: &[&str]) -> redis::RedisResult<Vec<String>> {
        self.query(command).await
    }

    async fn execute(&self, command: &[&str]) -> redis::RedisResult<()> {
        self.query(command).await
    }

    async fn query<T: redis::FromRedisValue>(&self, command: &[&str]) -> redis::RedisResult<T> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("SENTINEL").arg(command).query_async(&mut connection).await
    }
}

impl SentinelGroup {
    pub async fn start() -> Self {
        let master = Redis::start_with(&[]);
        let of_master =
            ["--replicaof", &format!("127.0.0.1 {}", master.port), "--repl-diskless-sync-delay", "0"];
        let nodes = vec![Redis::start_with(&of_master), Redis::start_with(&of_master)];
        let port = master.port;
        let nodes: Vec<_> = std::iter::once(master).chain(nodes).collect();
        let sentinels = (0..3).map(|_| Sentinel::start(port, 2, "")).collect();
        let group = Self { nodes, sentinels };
        group.wait_until_discovered().await;
        group
    }

    /// Waits until every Sentinel knows all others and all replicas, and the replicas are connected.
    async fn wait_until_discovered(&self) {
        for sentinel in &self.sentinels {
            eventually("Sentinels to discover each other", || async {
                let fields = sentinel.query_strings(&["MASTER", MASTER]).await.ok()?;
                let field =
                    |name| fields.iter().position(|field| field == name).map(|at| fields[at + 1].clone());
                let known = (field("num-slaves"), field("num-other-sentinels"));
                (known == (Some("2".to_owned()), Some("2".to_owned()))).then_some(())
            })
            .await;
        }
        for replica in &self.nodes[1..] {
            eventually("a replica to connect", || async {
                (replica.info("master_link_status").await? == "up").then_some(())
            })
            .await;
        }
    }

    /// The URL `redis+sentinel://` with all Sentinels.
    pub fn url(&self) -> String {
        let sentinels = self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port));
        format!("redis+sentinel://{}/{MASTER}/0", sentinels.collect::<Vec<_>>().join(","))
    }

    /// URL of the first master, for a [`LogAuditor`](super::recording::LogAuditor). The test changes it after a
    /// failover.
    pub fn shared_url(&self) -> SharedUrl {
        SharedUrl::new(self.nodes[0].url().into())
    }

    /// Starts a failover of a healthy master.
    pub async fn force_failover(&self) {
        eventually("a failover to begin", || async {
            self.sentinels[0].execute(&["FAILOVER", MASTER]).await.ok()
        })
        .await;
    }

    /// Waits until all Sentinels report another master than node `before`; returns the number of its node.
    pub async fn wait_for_new_master(&self, before: usize) -> usize {
        self.set_down_after(SHORT_DOWN_AFTER).await;
        let mut found = before;
        for sentinel in &self.sentinels {
            found = eventually("a new master", || async {
                self.master_of(sentinel).await.filter(|at| *at != before)
            })
            .await;
        }
        self.set_down_after(LONG_DOWN_AFTER).await;
        found
    }

    async fn set_down_after(&self, millis: &str) {
        for sentinel in &self.sentinels {
            let set = ["SET", MASTER, "down-after-milliseconds", millis];
            eventually("a Sentinel to be configured", || async { sentinel.execute(&set).await.ok() }).await;
        }
    }

    /// The node that a Sentinel reports as master.
    async fn master_of(&self, sentinel: &Sentinel) -> Option<usize> {
        let address = sentinel.query_strings(&["GET-MASTER-ADDR-BY-NAME", MASTER]).await.ok()?;
        self.nodes.iter().position(|node| node.port.to_string() == address[1])
    }

    /// Reports whether node `master` is still the master for all Sentinels. Another failover would explain a loss.
    pub async fn is_still_master(&self, master: usize) -> bool {
        for sentinel in &self.sentinels {
            if self.master_of(sentinel).await != Some(master) {
                return false;
            }
        }
        true
    }
}

/// Pauses all writes at a master and waits until its replicas have the same offset.
pub async fn pause_writes(master: &Redis, replicas: usize) {
    master.execute(&["CLIENT", "PAUSE", "60000", "WRITE"]).await.unwrap();
    eventually("replicas to catch up", || async {
        let written = master.info("master_repl_offset").await?;
        let mut caught_up = 0;
        for n in 0..replicas {
            let replica = master.info(&format!("slave{n}")).await?;
            caught_up += usize::from(replica.contains(&format!("offset={written},")));
        }
        (caught_up == replicas).then_some(())
    })
    .await;
}
