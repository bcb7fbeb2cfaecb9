//! Master lookup by Sentinel: the answer with the greatest configuration epoch, out of a majority of the Sentinels.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use redis::{Client, FromRedisValue, Value, aio::MultiplexedConnection};
use tokio::{sync::Mutex, time::timeout};

use super::{
    address::ConnectOptions,
    failure::{Failure, FailureKind},
    node::{self, Node},
};

/// The limit for one Sentinel, opening a connection included. It is short because the other Sentinels can answer.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(750);

/// All Sentinels of one master.
pub(super) struct Sentinels {
    sentinels: Vec<Sentinel>,
    master_name: String,
    /// The greatest configuration epoch received so far.
    config_epoch: AtomicU64,
}

struct Sentinel {
    client: Client,
    /// Kept open, because a lookup a second would otherwise cost a handshake each.
    connection: Mutex<Option<MultiplexedConnection>>,
}

/// A Sentinel's answer. Every failover increments the configuration epoch.
struct MasterReport {
    config_epoch: u64,
    master: Node,
}

/// What the Sentinels of one lookup answered.
#[derive(Default)]
struct Reports {
    newest: Option<MasterReport>,
    count: usize,
    last_failure: Option<Failure>,
}

impl Sentinels {
    /// Prepares a client for each Sentinel; opens no connection.
    ///
    /// # Errors
    /// Invalid certificates.
    pub(super) fn new(
        nodes: &[Node],
        master_name: String,
        options: &ConnectOptions,
    ) -> Result<Self, Failure> {
        let sentinel = |node| Ok(Sentinel { client: options.client(node)?, connection: Mutex::default() });
        let sentinels = nodes.iter().map(sentinel).collect::<Result<_, Failure>>()?;
        Ok(Self { sentinels, master_name, config_epoch: AtomicU64::new(0) })
    }

    /// Looks up the master: queries all Sentinels concurrently and takes the report with the greatest configuration
    /// epoch. Waits for a majority, because a Sentinel in a minority partition may have missed a failover. Uses fewer
    /// reports if the other Sentinels fail.
    ///
    /// # Errors
    /// [`FailureKind::NoMaster`] where no Sentinel answers, or where all that answer have missed a failover.
    pub(super) async fn master(&self) -> Result<Node, Failure> {
        let Reports { newest, count, last_failure } = self.collect_reports().await;
        let known = self.config_epoch.load(Ordering::Relaxed);
        match newest {
            // A smaller epoch is accepted only from all Sentinels: it means that they were configured anew.
            Some(newest) if newest.config_epoch >= known || count == self.sentinels.len() => {
                self.config_epoch.store(newest.config_epoch, Ordering::Relaxed);
                Ok(newest.master)
            }
            Some(_) => {
                Err(Failure::new(FailureKind::NoMaster, "the Sentinels that answer have missed a failover"))
            }
            None => Err(no_report(last_failure)),
        }
    }

    /// Collects reports until a majority has answered, or all have answered or failed.
    async fn collect_reports(&self) -> Reports {
        let requests = self.sentinels.iter().map(|sentinel| sentinel.report(&self.master_name));
        let mut answers: FuturesUnordered<_> = requests.collect();
        let mut reports = Reports::default();
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(report) => reports.add(report),
                Err(failure) => reports.last_failure = Some(failure),
            }
            if reports.count * 2 > self.sentinels.len() {
                break;
            }
        }
        reports
    }
}

impl Reports {
    fn add(&mut self, report: MasterReport) {
        self.count += 1;
        if self.newest.as_ref().is_none_or(|newest| report.config_epoch > newest.config_epoch) {
            self.newest = Some(report);
        }
    }
}

fn no_report(last_failure: Option<Failure>) -> Failure {
    let message = last_failure.map_or_else(
        || "no Sentinel is configured".to_owned(),
        |failure| format!("no Sentinel names a master: {}", failure.message),
    );
    Failure::new(FailureKind::NoMaster, message)
}

impl Sentinel {
    async fn report(&self, master_name: &str) -> Result<MasterReport, Failure> {
        let late = |_| Failure::new(FailureKind::Timeout, "a Sentinel does not answer in time");
        timeout(ANSWER_TIMEOUT, self.query(master_name)).await.map_err(late)?
    }

    /// Queries one Sentinel for the master's address and configuration epoch. Cancellation safe: the connection is
    /// reused only after a complete answer, so a cancelled query cannot leave its answer to the next one.
    ///
    /// # Errors
    /// Failures of the connection and of the commands; [`FailureKind::NoMaster`] if the answer has no address or epoch.
    async fn query(&self, master_name: &str) -> Result<MasterReport, Failure> {
        let mut kept = self.connection.lock().await;
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => node::open_with_timeouts(&self.client, ANSWER_TIMEOUT, ANSWER_TIMEOUT).await?,
        };
        // Both commands are needed: the address follows a promotion at once, and only the epoch orders two addresses.
        let mut commands = redis::pipe();
        commands.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master_name);
        commands.cmd("SENTINEL").arg("MASTER").arg(master_name);
        let (address, fields): (Option<(String, u16)>, Value) = commands.query_async(&mut connection).await?;
        *kept = Some(connection);
        let unknown =
            || Failure::new(FailureKind::NoMaster, "a Sentinel does not know a master of this name");
        let (host, port) = address.ok_or_else(unknown)?;
        let config_epoch = config_epoch(fields).ok_or_else(unknown)?;
        Ok(MasterReport { config_epoch, master: Node { host, port } })
    }
}

/// Finds `config-epoch` in the flat list of names and values that `SENTINEL MASTER` returns.
fn config_epoch(fields: Value) -> Option<u64> {
    let fields = Vec::<String>::from_redis_value(fields).ok()?;
    let at = fields.iter().position(|name| name == "config-epoch")?;
    fields.get(at + 1)?.parse().ok()
}
