//! What is measured, and with how much.

use std::time::Duration;

use livestream_orchestrator::domain::StreamRef;
use tokio::runtime::Runtime;

use super::{
    carries,
    fanout::{self, Load, Outcome},
    figures::median,
    nchan::Nchan,
    process::Family,
    report::Line,
    requests,
    service::{Deployment, Service},
};

/// How much of everything.
pub struct Scale {
    /// Clients, events and time of the fan-out.
    pub load: Load,
    /// Events a second of a second fan-out, at which nobody falls behind.
    pub calm: u64,
    /// How often the fan-out is measured on each server.
    pub rounds: usize,
    /// Clients that hear nothing.
    pub idle: usize,
    /// Streams behind a page of 100.
    pub streams: usize,
    /// How long each kind of request is made.
    pub requests: Duration,
}

impl Scale {
    pub const FULL: Self = Self {
        load: Load { clients: 2_000, rate: 50, seconds: 6 },
        calm: 10,
        rounds: 3,
        idle: 50_000,
        streams: 100_000,
        requests: Duration::from_secs(5),
    };
    pub const QUICK: Self = Self {
        load: Load { clients: 2_000, rate: 50, seconds: 4 },
        calm: 10,
        rounds: 2,
        idle: 10_000,
        streams: 2_000,
        requests: Duration::from_secs(2),
    };
}

impl Scale {
    /// Takes one number from the command line.
    pub fn set(&mut self, name: &str, value: u64) {
        let count = usize::try_from(value).expect("a count");
        match name {
            "--clients" => self.load.clients = count,
            "--rate" => self.load.rate = value,
            "--calm" => self.calm = value,
            "--seconds" => self.load.seconds = value,
            "--rounds" => self.rounds = count,
            "--idle" => self.idle = count,
            "--requests" => self.requests = Duration::from_secs(value),
            "--streams" => self.streams = count,
            _ => panic!("there is no {name}"),
        }
    }
}

/// A part that can be measured alone.
#[derive(Clone, Copy)]
pub enum Part {
    Fanout,
    Idle,
    Webhook,
    Rest,
    Growth,
    Redis,
    Log,
}

impl Part {
    pub const ALL: &'static [Self] =
        &[Self::Fanout, Self::Idle, Self::Webhook, Self::Rest, Self::Growth, Self::Redis, Self::Log];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Fanout => "fanout",
            Self::Idle => "idle",
            Self::Webhook => "webhook",
            Self::Rest => "rest",
            Self::Growth => "growth",
            Self::Redis => "redis",
            Self::Log => "log",
        }
    }

    /// Measures as deployed and bare, one after the other.
    pub fn measure(self, scale: &Scale, runtime: &Runtime) -> Vec<Line> {
        if matches!(self, Self::Log) {
            return requests::of_the_log(scale, runtime);
        }
        println!("{}, as deployed:", self.name());
        let deployed = self.measure_in(Deployment::DEPLOYED, scale, runtime);
        println!("{}, bare:", self.name());
        let bare = self.measure_in(Deployment::BARE, scale, runtime);
        deployed.into_iter().zip(bare).map(|(deployed, bare)| deployed.beside(bare)).collect()
    }

    fn measure_in(self, deployment: Deployment, scale: &Scale, runtime: &Runtime) -> Vec<Line> {
        match self {
            Self::Fanout => {
                let calm = Load { rate: scale.calm, ..scale.load };
                let loads = [scale.load, calm].into_iter();
                loads.flat_map(|load| fan_out(deployment, load, scale.rounds, runtime)).collect()
            }
            Self::Idle => idle(deployment, scale, runtime),
            Self::Webhook => webhook(deployment, scale, runtime),
            Self::Rest => requests::of_each_kind(deployment, scale, runtime),
            Self::Growth => requests::beside_many(deployment, scale, runtime),
            Self::Redis => carries::of_redis(deployment, scale, runtime),
            Self::Log => Vec::new(),
        }
    }
}

/// A service with one active stream.
pub fn with_stream(deployment: Deployment, runtime: &Runtime) -> (Service, StreamRef) {
    runtime.block_on(async {
        let service = Service::start(deployment).await;
        let stream = service.stream("bench").await;
        (service, stream)
    })
}

fn fan_out(deployment: Deployment, load: Load, count: usize, runtime: &Runtime) -> Vec<Line> {
    let mut rounds = Vec::new();
    for round in 1..=count {
        let (service, stream) = with_stream(deployment, runtime);
        let own = fanout::service(load, &service, &stream);
        let bytes = own.bytes;
        let mut outcomes = vec![own, fanout::floor(load, bytes)];
        outcomes.extend(Nchan::is_installed().then(|| fanout::nchan(load, bytes)));
        for (name, outcome) in ["service", "floor", "nchan"].iter().zip(&mut outcomes) {
            println!(
                "round {round}, {name}: {:.2} µs a delivery, p50 {:.1} ms, p99 {:.1} ms, {} bytes, {} missing",
                outcome.cpu_a_delivery,
                outcome.latencies.percentile(0.5),
                outcome.latencies.percentile(0.99),
                outcome.bytes,
                outcome.missing
            );
        }
        rounds.push(outcomes);
    }
    let over = |server: usize, figure: fn(&mut Outcome) -> f64, rounds: &mut Vec<Vec<Outcome>>| {
        median(rounds.iter_mut().filter_map(|round| round.get_mut(server).map(figure)))
    };
    let cpu = [0, 1, 2].map(|server| over(server, |outcome| outcome.cpu_a_delivery, &mut rounds));
    let late =
        [0, 1, 2].map(|server| over(server, |outcome| outcome.latencies.percentile(0.99), &mut rounds));
    // Each round for itself, because the machine may be busier in one than in another.
    let ratio = |peer: usize| {
        median(
            rounds.iter().filter_map(|round| Some(round[0].cpu_a_delivery / round.get(peer)?.cpu_a_delivery)),
        )
    };
    let Load { clients, rate, .. } = load;
    let case = format!("{clients} SSE clients × {rate} events/s × {} bytes on the wire", rounds[0][0].bytes);
    vec![
        Line::new(format!("CPU per delivery, {case}"))
            .peers(format!("{:.1} µs", cpu[1]), format!("{:.1} µs", cpu[2]), "21 to 23 µs", "14.4 µs")
            .target("≤ 1.3 × the bare loop and below nchan; stretch 1.1 ×")
            .own(format!("{:.1} µs: {:.2} × the bare loop, {:.2} × nchan", cpu[0], ratio(1), ratio(2))),
        Line::new("p99 delivery, same".to_owned())
            .peers(format!("{:.1} ms", late[1]), format!("{:.1} ms", late[2]), "> 200 ms", "36 ms at 20/s")
            .target("≤ nchan")
            .own(format!("{:.1} ms", late[0])),
    ]
}

fn idle(deployment: Deployment, scale: &Scale, runtime: &Runtime) -> Vec<Line> {
    let clients = scale.idle.min(most_clients());
    let (service, stream) = with_stream(deployment, runtime);
    let path = format!("/events?streamId={}", stream.id);
    let own = fanout::idle(&service.process(), service.address, &path, clients);
    drop(service);
    let peer = Nchan::is_installed().then(|| {
        let nchan = Nchan::start();
        fanout::idle(&Family::of(nchan.pid()), nchan.address, "/events", clients)
    });
    let kib = |bytes: f64| format!("{:.1} KB", bytes / 1_000.0);
    vec![
        Line::new(format!("memory per idle SSE client, {clients} of them"))
            .peers("–".to_owned(), peer.map_or_else(|| "–".to_owned(), kib), "9 KB", "29 KB")
            .target("≤ 8 KB, stretch 4 KB")
            .own(kib(own)),
    ]
}

/// How many connections this process and the servers may have, less some for files.
fn most_clients() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("limits");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a limit");
    let soft = line.split_ascii_whitespace().next().expect("a number");
    soft.parse::<usize>().unwrap_or(usize::MAX).saturating_sub(500)
}

fn webhook(deployment: Deployment, scale: &Scale, runtime: &Runtime) -> Vec<Line> {
    let (service, stream) = with_stream(deployment, runtime);
    let load = Load { clients: 1, rate: 20, seconds: scale.load.seconds };
    let mut outcome = fanout::service(load, &service, &stream);
    vec![Line::new("webhook in → event out to SSE, p99, unloaded".to_owned()).target("≤ 5 ms").own(format!(
        "{:.1} ms (p50 {:.1} ms)",
        outcome.latencies.percentile(0.99),
        outcome.latencies.percentile(0.5)
    ))]
}
