//! The archive: events that are stored at the rate at which Redis gives them, and its cost.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use livestream_orchestrator::domain::StreamRef;
use tokio::{runtime::Runtime, time::sleep};

use super::{
    deployment::Deployment,
    scale::Scale,
    service::{Mode, Service},
    support::servers::Postgres,
};

/// Streams that change.
const STREAMS: usize = 20;
/// Changes at the same time.
const WRITERS: usize = 100;
/// Events a second to reach.
const TARGET: f64 = 17_000.0;
/// Maximum time until everything is archived.
const MAX_WAIT: Duration = Duration::from_secs(120);

/// Head of the table.
pub const HEAD: &str = "| case | to reach | measured |\n| --- | --- | --- |";

/// Returns the text before the table.
pub fn intro(scale: &Scale) -> String {
    include_str!("archive.md")
        .replace("{streams}", &STREAMS.to_string())
        .replace("{writers}", &WRITERS.to_string())
        .replace("{seconds}", &duration(scale).as_secs().to_string())
        .replace("{backlog}", &backlog(scale).to_string())
}

/// Time of the load.
fn duration(scale: &Scale) -> Duration {
    scale.requests * 6
}

/// Events that are written while the database is away.
fn backlog(scale: &Scale) -> usize {
    20_000 * usize::try_from(scale.requests.as_secs()).expect("a count")
}

/// Measures all cases; returns the lines of the table.
pub fn measure(scale: &Scale, runtime: &Runtime) -> Vec<String> {
    let mut bed = TestBed::start(runtime);
    let mut lines = bed.load(scale, runtime);
    lines.push(bed.backlog(scale, runtime));
    lines.push(bed.sizes(scale, runtime));
    lines.iter().for_each(|line| println!("{line}"));
    lines
}

/// A service with a history.
struct TestBed {
    postgres: Postgres,
    database: String,
    service: Service,
    streams: Vec<StreamRef>,
}

impl TestBed {
    fn start(runtime: &Runtime) -> Self {
        let postgres = Postgres::start();
        let database = runtime.block_on(postgres.create_database());
        let service =
            runtime.block_on(Service::start_with(Deployment::DEPLOYED, &[("DATABASE_URL", &database)]));
        let names = (0..STREAMS).map(|n| format!("archived-{n}"));
        let streams = names.map(|name| runtime.block_on(service.stream(&name))).collect();
        Self { postgres, database, service, streams }
    }

    /// Writes events at [`WRITERS`] at a time while `goes_on`; returns their number.
    async fn write(&self, goes_on: impl Fn(usize) -> bool) -> usize {
        let written = Cell::new(0);
        let writers = (0..WRITERS).map(|writer| {
            let (written, goes_on) = (&written, &goes_on);
            async move {
                while goes_on(written.get()) {
                    let number = written.replace(written.get() + 1);
                    self.service.issue(&self.streams[writer % STREAMS], number / STREAMS).await;
                }
            }
        });
        join_all(writers).await;
        written.get()
    }

    /// Returns the number of events that are not archived.
    async fn lag(&self) -> usize {
        let metrics = reqwest::get(format!("http://{}/metrics", self.service.address)).await;
        let metrics = metrics.expect("an answer").text().await.expect("metrics");
        let name = "lso_follower_lag_events{job=\"archive\"";
        let line = metrics.lines().find(|line| line.starts_with(name));
        let lag = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        lag.expect("the lag of the archiver")
    }

    async fn count(&self, table: &'static str) -> i64 {
        let pool = sqlx::PgPool::connect(&self.database).await.expect("a database");
        let statement = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let (count,): (i64,) = sqlx::query_as(statement).fetch_one(&pool).await.expect("a count");
        count
    }

    /// Waits until a table has as many rows.
    async fn await_rows(&self, table: &'static str, rows: i64) {
        let deadline = Instant::now() + MAX_WAIT;
        while self.count(table).await < rows {
            assert!(Instant::now() < deadline, "{table} is not archived in time");
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Writes and archives at the same time.
    fn load(&self, scale: &Scale, runtime: &Runtime) -> Vec<String> {
        runtime.block_on(async {
            let (time, before) = (duration(scale), self.count("events").await);
            let (start, cpu) = (Instant::now(), self.service.process().cpu());
            let lag_at_half = async {
                sleep(time / 2).await;
                self.lag().await
            };
            let (written, half) = tokio::join!(self.write(|_| start.elapsed() < time), lag_at_half);
            let (seconds, end) = (start.elapsed().as_secs_f64(), self.lag().await);
            let cpu = (self.service.process().cpu() - cpu).as_secs_f64();
            let archived = (self.count("events").await - before) as f64;
            let written = written as f64;
            vec![
                format!(
                    "| events written and archived at the same time | {TARGET:.0} a second, or what Redis gives; \
                     the lag does not grow | **{:.0}** written and **{:.0}** archived a second, lag {half} → {end} |",
                    written / seconds,
                    archived / seconds
                ),
                format!(
                    "| CPU of the service meanwhile | < 40 % of a core | **{:.0} %** of a core, {:.1} µs an event |",
                    100.0 * cpu / seconds,
                    1e6 * cpu / archived
                ),
            ]
        })
    }

    /// Writes while the database is away, and archives when it is back.
    fn backlog(&mut self, scale: &Scale, runtime: &Runtime) -> String {
        runtime.block_on(self.await_lag(0));
        let count = runtime.block_on(self.count("events"));
        self.postgres.kill();
        let written = runtime.block_on(self.write(|written| written < backlog(scale)));
        self.postgres.restart();
        let written = i64::try_from(written).expect("a count");
        runtime.block_on(async {
            let (start, cpu) = (Instant::now(), self.service.process().cpu());
            self.await_rows("events", count + written).await;
            let (seconds, cpu) = (start.elapsed().as_secs_f64(), self.service.process().cpu() - cpu);
            let micros = 1e6 * cpu.as_secs_f64() / written as f64;
            format!(
                "| backlog of {written} events | – | **{:.0}** events a second, {micros:.1} µs of the service's CPU \
                 an event: {:.0} % of a core at {TARGET:.0} a second |",
                written as f64 / seconds,
                micros * TARGET / 1e4
            )
        })
    }

    async fn await_lag(&self, lag: usize) {
        let deadline = Instant::now() + MAX_WAIT;
        while self.lag().await > lag {
            assert!(Instant::now() < deadline, "the lag does not end");
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Returns the bytes of a row of events and of visits.
    fn sizes(&self, scale: &Scale, runtime: &Runtime) -> String {
        runtime.block_on(async {
            let stream = self.service.stream_of("visited", Mode::Counted).await;
            let visits = scale.audience.visits;
            self.service.visits(&stream, 0..visits, WRITERS).await;
            self.await_rows("visits", i64::try_from(visits).expect("a count")).await;
            let [event, visit] = [self.bytes("events").await, self.bytes("visits").await];
            format!(
                "| bytes of an event and of a visit in Postgres, with indexes | – | {event:.0} and {visit:.0} |"
            )
        })
    }

    async fn bytes(&self, table: &'static str) -> f64 {
        let pool = sqlx::PgPool::connect(&self.database).await.expect("a database");
        let statement = format!("SELECT pg_total_relation_size('{table}') / count(*)::float8 FROM {table}");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(statement));
        let (bytes,): (f64,) = query.fetch_one(&pool).await.expect("a size");
        bytes
    }
}
