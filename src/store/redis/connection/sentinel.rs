//! Sentinels, which know who the master is.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use redis::{Client, FromRedisValue, Value, aio::MultiplexedConnection};
use tokio::{sync::Mutex, time::timeout};

use super::{
    address::Access,
    failure::{Failure, Kind},
    node::{self, Node},
};

/// How long a Sentinel may take for its answer, opening a connection included. There are others.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(750);

/// All Sentinels of one master.
pub(super) struct Sentinels {
    sentinels: Vec<Sentinel>,
    master: String,
    /// The newest configuration epoch that was heard of.
    epoch: AtomicU64,
}

struct Sentinel {
    client: Client,
    /// Kept open, so that asking once a second costs no handshakes.
    connection: Mutex<Option<MultiplexedConnection>>,
}

/// What a Sentinel says. Every failover has a greater epoch.
struct Opinion {
    epoch: u64,
    master: Node,
}

impl Sentinels {
    /// # Errors
    /// For certificates that cannot be understood.
    pub(super) fn new(nodes: &[Node], master: String, access: &Access) -> Result<Self, Failure> {
        let sentinel = |node| Ok(Sentinel { client: access.client(node)?, connection: Mutex::default() });
        let sentinels = nodes.iter().map(sentinel).collect::<Result<_, Failure>>()?;
        Ok(Self { sentinels, master, epoch: AtomicU64::new(0) })
    }

    /// The master, in the opinion of the Sentinel that knows of the newest failover. More than half of them are waited
    /// for: who is cut off from the others may not have heard of it.
    ///
    /// # Errors
    /// [`Kind::NoMaster`] where nobody answers, or only such as are behind.
    pub(super) async fn master(&self) -> Result<Node, Failure> {
        let asked = self.sentinels.iter().map(|sentinel| sentinel.opinion(&self.master));
        let mut answers: FuturesUnordered<_> = asked.collect();
        let (mut newest, mut count, mut refusal) = (None::<Opinion>, 0, None);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(opinion) => {
                    count += 1;
                    if newest.as_ref().is_none_or(|newest| opinion.epoch > newest.epoch) {
                        newest = Some(opinion);
                    }
                    if count * 2 > self.sentinels.len() {
                        break;
                    }
                }
                Err(failure) => refusal = Some(failure),
            }
        }
        let known = self.epoch.load(Ordering::Relaxed);
        match newest {
            // One that is behind is believed only where all are: somebody has set the Sentinels up anew.
            Some(newest) if newest.epoch >= known || count == self.sentinels.len() => {
                self.epoch.store(newest.epoch, Ordering::Relaxed);
                Ok(newest.master)
            }
            Some(_) => {
                Err(Failure::new(Kind::NoMaster, "the only Sentinels that answer have missed a failover"))
            }
            None => Err(refusal.map_or_else(
                || Failure::new(Kind::NoMaster, "there is no Sentinel"),
                |refusal| Failure::new(Kind::NoMaster, format!("no Sentinel says: {}", refusal.words)),
            )),
        }
    }
}

impl Sentinel {
    async fn opinion(&self, master: &str) -> Result<Opinion, Failure> {
        let late = |_| Failure::new(Kind::Timeout, "a Sentinel does not answer in time");
        timeout(ANSWER_TIMEOUT, self.ask(master)).await.map_err(late)?
    }

    async fn ask(&self, master: &str) -> Result<Opinion, Failure> {
        let mut kept = self.connection.lock().await;
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => node::open_within(&self.client, ANSWER_TIMEOUT, ANSWER_TIMEOUT).await?,
        };
        // Two questions, because either alone is late: the address follows a promotion at once, the epoch says whose
        // address is the newer one.
        let mut questions = redis::pipe();
        questions.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        questions.cmd("SENTINEL").arg("MASTER").arg(master);
        let (address, facts): (Option<(String, u16)>, Value) = questions.query_async(&mut connection).await?;
        // One that was cut off while it answered is not kept.
        *kept = Some(connection);
        let unknown = || Failure::new(Kind::NoMaster, "a Sentinel knows no master of this name");
        let (host, port) = address.ok_or_else(unknown)?;
        Ok(Opinion { epoch: epoch(facts).ok_or_else(unknown)?, master: Node { host, port } })
    }
}

/// `config-epoch` of the names and values that `SENTINEL MASTER` gives.
fn epoch(facts: Value) -> Option<u64> {
    let facts = Vec::<String>::from_redis_value(facts).ok()?;
    let at = facts.iter().position(|name| name == "config-epoch")?;
    facts.get(at + 1)?.parse().ok()
}
