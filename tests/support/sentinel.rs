//! A master, two replicas and three Sentinels that watch them.

use std::{fs, path::PathBuf};

use super::{
    audience::Whereabouts,
    eventually,
    servers::{Redis, Running, free_port, redis_server, start, wait_for_port},
    unique,
};

/// What the Sentinels call the master.
pub const MASTER: &str = "the-master";

/// For how many milliseconds a server may be silent before the Sentinels give it up. They are patient while no test waits
/// for a failover: on a busy machine a server that lives is silent for a second now and then, and a failover nobody has
/// asked for loses what its replicas did not have.
const PATIENT: &str = "60000";
const QUICK: &str = "1000";

/// All of them; they end with the test.
pub struct SentinelGroup {
    pub nodes: Vec<Redis>,
    sentinels: Vec<Sentinel>,
}

/// One Sentinel.
pub struct Sentinel {
    pub port: u16,
    folder: PathBuf,
    _running: Running,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Sentinel {
    /// One that watches a master, with more lines of configuration.
    pub fn start(master: u16, quorum: usize, more: &str) -> Self {
        let (port, folder) = (free_port(), std::env::temp_dir().join(unique("sentinel")));
        fs::create_dir(&folder).unwrap();
        let file = folder.join("sentinel.conf");
        let config = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {MASTER} 127.0.0.1 {master} {quorum}\n\
             sentinel down-after-milliseconds {MASTER} {PATIENT}\nsentinel failover-timeout {MASTER} 5000\n{more}",
            folder.display()
        );
        fs::write(&file, config).unwrap();
        let running = start(&redis_server(), &[&file.to_string_lossy(), "--sentinel"]);
        wait_for_port(port);
        Self { port, folder, _running: running }
    }

    async fn ask(&self, words: &[&str]) -> redis::RedisResult<Vec<String>> {
        self.query(words).await
    }

    async fn tell(&self, words: &[&str]) -> redis::RedisResult<()> {
        self.query(words).await
    }

    async fn query<T: redis::FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("SENTINEL").arg(words).query_async(&mut connection).await
    }
}

impl SentinelGroup {
    pub async fn start() -> Self {
        let master = Redis::with(&[]);
        let of_master =
            ["--replicaof", &format!("127.0.0.1 {}", master.port), "--repl-diskless-sync-delay", "0"];
        let nodes = vec![Redis::with(&of_master), Redis::with(&of_master)];
        let port = master.port;
        let nodes: Vec<_> = std::iter::once(master).chain(nodes).collect();
        let sentinels = (0..3).map(|_| Sentinel::start(port, 2, "")).collect();
        let group = Self { nodes, sentinels };
        group.until_complete().await;
        group
    }

    /// Waits until every Sentinel knows of all the others, and the replicas follow.
    async fn until_complete(&self) {
        for sentinel in &self.sentinels {
            eventually("Sentinels that know of each other", || async {
                let facts = sentinel.ask(&["MASTER", MASTER]).await.ok()?;
                let fact = |name| facts.iter().position(|fact| fact == name).map(|at| facts[at + 1].clone());
                let known = (fact("num-slaves"), fact("num-other-sentinels"));
                (known == (Some("2".to_owned()), Some("2".to_owned()))).then_some(())
            })
            .await;
        }
        for replica in &self.nodes[1..] {
            eventually("a replica that follows", || async {
                (replica.info("master_link_status").await? == "up").then_some(())
            })
            .await;
        }
    }

    /// `redis+sentinel://`
    pub fn url(&self) -> String {
        let sentinels = self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port));
        format!("redis+sentinel://{}/{MASTER}/0", sentinels.collect::<Vec<_>>().join(","))
    }

    pub fn whereabouts(&self) -> Whereabouts {
        Whereabouts::new(self.nodes[0].url().into())
    }

    /// Starts a failover without a reason.
    pub async fn force_failover(&self) {
        eventually("a failover to begin", || async {
            self.sentinels[0].tell(&["FAILOVER", MASTER]).await.ok()
        })
        .await;
    }

    /// Waits until all Sentinels name another master than this one, which may have died; gives its number.
    pub async fn until_other_than(&self, before: usize) -> usize {
        self.give_up_after(QUICK).await;
        let mut found = before;
        for sentinel in &self.sentinels {
            found = eventually("another master", || async {
                self.named_by(sentinel).await.filter(|at| *at != before)
            })
            .await;
        }
        self.give_up_after(PATIENT).await;
        found
    }

    async fn give_up_after(&self, millis: &str) {
        for sentinel in &self.sentinels {
            let set = ["SET", MASTER, "down-after-milliseconds", millis];
            eventually("a Sentinel that is told", || async { sentinel.tell(&set).await.ok() }).await;
        }
    }

    /// The number of the master in a Sentinel's opinion.
    async fn named_by(&self, sentinel: &Sentinel) -> Option<usize> {
        let address = sentinel.ask(&["GET-MASTER-ADDR-BY-NAME", MASTER]).await.ok()?;
        self.nodes.iter().position(|node| node.port.to_string() == address[1])
    }

    /// Whether there has been no failover since that to this master. Another one would excuse a loss.
    pub async fn has_stayed_with(&self, master: usize) -> bool {
        for sentinel in &self.sentinels {
            if self.named_by(sentinel).await != Some(master) {
                return false;
            }
        }
        true
    }
}

/// Lets nobody change anything at this server, and waits until its replicas have everything.
pub async fn hold_writes(master: &Redis, replicas: usize) {
    master.tell(&["CLIENT", "PAUSE", "60000", "WRITE"]).await.unwrap();
    eventually("replicas that have everything", || async {
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
