//! Partitions: what several Redis servers carry, what a change costs them, and the delay of the feed of all streams.

use tokio::runtime::Runtime;

use super::{
    cpu_share::CpuShare,
    fanout,
    http_load::{Outcome, Pacing},
    partition_load::{Cluster, STREAMS},
    scale::{Load, Scale},
    statistics::{Latencies, median},
};

/// Number of partitions that is compared with one, each on a Redis server of its own.
const PARTITIONS: u16 = 4;
const SERVERS: usize = PARTITIONS as usize;
/// Share of a core that each Redis server gets, so that the service and the load leave the servers the rest of two.
const SHARE: f64 = 0.1;
/// Joins a second for each Redis server, where the cost of a change is measured.
const RATE: f64 = 500.0;
/// Times that delays are measured. The median counts.
const DELAY_LOAD: Load = Load { clients: 1, rate: 20, seconds: 10 };

/// Head of the table.
pub const HEAD: &str = "| services, and Redis servers and partitions of each \
                    | joins a second, each server held to a share of a core \
                    | CPU of Redis for a join, at a fixed rate | the same with clients of all streams \
                    | delay, one stream's feed | delay, feed of all streams |\n\
                    | --- | --- | --- | --- | --- | --- |";

/// Microseconds of Redis's CPU time for a join, of each round.
#[derive(Default)]
struct Costs {
    /// One of the services with one partition, alone.
    alone: Vec<f64>,
    /// As many services with one partition as the last one has partitions.
    apart: Vec<f64>,
    /// One service with all partitions.
    together: Vec<f64>,
}

impl Costs {
    /// Measures in rounds, so that other work of the machine concerns all three alike.
    fn measure(apart: &Cluster, together: &Cluster, scale: &Scale) -> Self {
        let mut costs = Self::default();
        let duration = scale.requests * 2;
        for _ in 0..scale.rounds {
            costs.alone.push(apart.cost(1, RATE, duration));
            costs.apart.push(apart.cost(SERVERS, RATE, duration));
            costs.together.push(together.cost(SERVERS, RATE, duration));
        }
        costs
    }

    fn medians(&self) -> [f64; 3] {
        [&self.alone, &self.apart, &self.together].map(|costs| median(costs.iter().copied()))
    }

    /// Returns the median of the rounds' ratios, as a change in percent: one service compared with services apart.
    fn change(&self) -> f64 {
        let ratios = self.together.iter().zip(&self.apart).map(|(together, apart)| together / apart);
        100.0 * (median(ratios) - 1.0)
    }
}

/// Measures one partition, services with one partition each, and one service with all; returns the lines of the table.
pub fn measure(scale: &Scale, runtime: &Runtime) -> Vec<String> {
    let apart = Cluster::start(SERVERS, 1, runtime);
    let together = Cluster::start(1, PARTITIONS, runtime);
    let own = Costs::measure(&apart, &together, scale);
    let with_clients = {
        let _clients = [apart.clients(), together.clients()];
        Costs::measure(&apart, &together, scale)
    };
    let delays = [&apart, &together].map(delays);
    let rates = [(apart, 1), (together, SERVERS)].map(|(cluster, servers)| rate(cluster, servers, scale));
    let lines = lines(&[own, with_clients], rates, delays);
    lines.iter().for_each(|line| println!("{line}"));
    lines
}

/// Returns the text before the table.
pub fn intro(scale: &Scale) -> String {
    let text = include_str!("partitions.md");
    let share = format!("{:.0} %", SHARE * 100.0);
    text.replace("{share}", &share)
        .replace("{rate}", &RATE.to_string())
        .replace("{rounds}", &scale.rounds.to_string())
        .replace("{streams}", &STREAMS.to_string())
}

/// Returns the delays of the feed of one stream, and of all streams, of the first service.
fn delays(cluster: &Cluster) -> [Latencies; 2] {
    let of_stream = format!("/events?streamId={}", cluster.stream().id);
    [&*of_stream, "/events"]
        .map(|path| fanout::feed(DELAY_LOAD, &cluster.services[0], cluster.stream(), path).latencies)
}

/// Returns the joins a second of the first `servers` Redis servers, each held to its share of a core.
fn rate(cluster: Cluster, servers: usize, scale: &Scale) -> f64 {
    let pids = cluster.services.iter().flat_map(|service| service.redis_pids()).take(servers);
    let shares: Vec<_> = pids.map(|pid| CpuShare::limit(pid, SHARE)).collect();
    assert!(shares.iter().all(Option::is_some), "control groups need the rights of root");
    let rate = cluster.joins(servers, Pacing::Closed, scale.requests).iter().map(Outcome::rate).sum();
    // The groups can only be removed after the servers.
    drop(cluster);
    rate
}

/// The lines of the table. The last one compares the last one before it with the baselines.
fn lines(costs: &[Costs; 2], rates: [f64; 2], delays: [[Latencies; 2]; 2]) -> Vec<String> {
    let [own, with_clients] = costs.each_ref().map(Costs::medians);
    let rate = |n: usize| format!("{:.0}", rates[n]);
    let (mut texts, mut p99s) = (Vec::new(), Vec::new());
    for mut both in delays {
        let text = |delays: &mut Latencies| {
            format!("p50 {:.1} ms, p99 {:.1} ms", delays.percentile(0.5), delays.percentile(0.99))
        };
        texts.push(both.each_mut().map(text).join(" | "));
        p99s.push(both.each_mut().map(|delays| delays.percentile(0.99)));
    }
    let line = |name: &str, rate: &str, n: usize, delays: &str| {
        format!("| {name} | {rate} | {:.0} µs | {:.0} µs | {delays} |", own[n], with_clients[n])
    };
    let [change, change_with_clients] = costs.each_ref().map(Costs::change);
    let [of_one, of_all] = [0, 1].map(|n| p99s[1][n] - p99s[0][n]);
    vec![
        line("1 × 1", &rate(0), 0, &texts[0]),
        line(&format!("{SERVERS} × 1"), "–", 1, "– | –"),
        line(&format!("1 × {SERVERS}"), &rate(1), 2, &texts[1]),
        format!(
            "| **compared** | **{:.2} ×** (to reach: 3.6 ×) | **{change:+.1} %** of {SERVERS} × 1 (at most +5 %) \
             | **{change_with_clients:+.1} %** \
             | p99 **{of_one:+.1} ms** | p99 **{of_all:+.1} ms** (at most +20 ms) |",
            rates[1] / rates[0]
        ),
    ]
}
