//! Delivery of events: CPU time and latency of the fan-out, memory of idle clients, latency of a webhook.

use livestream_orchestrator::admission::ConnectionLimits;
use tokio::runtime::Runtime;

use super::{
    deployment::Deployment,
    fanout::{self, Outcome},
    nchan::Nchan,
    process::ProcessGroup,
    scale::{Load, Scale},
    service::Service,
    statistics::median,
    table::Line,
};

/// Measures the fan-out of the service, the write loop and nchan, one after another in each round.
pub fn fan_out(deployment: Deployment, load: Load, count: usize, runtime: &Runtime) -> Vec<Line> {
    let mut rounds = Vec::new();
    for round in 1..=count {
        let (service, stream) = Service::with_stream(deployment, runtime);
        let own = fanout::service(load, &service, &stream);
        let bytes = own.bytes;
        let mut outcomes = vec![own, fanout::write_loop(load, bytes)];
        outcomes.extend(Nchan::is_installed().then(|| fanout::nchan(load, bytes)));
        for (name, outcome) in ["service", "write loop", "nchan"].iter().zip(&mut outcomes) {
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
    let median_of = |server: usize, figure: fn(&mut Outcome) -> f64, rounds: &mut Vec<Vec<Outcome>>| {
        median(rounds.iter_mut().filter_map(|round| round.get_mut(server).map(figure)))
    };
    let cpu = [0, 1, 2].map(|server| median_of(server, |outcome| outcome.cpu_a_delivery, &mut rounds));
    let p99 =
        [0, 1, 2].map(|server| median_of(server, |outcome| outcome.latencies.percentile(0.99), &mut rounds));
    // The ratio of each round, because the load of the machine varies between rounds.
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
            .peers(format!("{:.1} ms", p99[1]), format!("{:.1} ms", p99[2]), "> 200 ms", "36 ms at 20/s")
            .target("≤ nchan")
            .own(format!("{:.1} ms", p99[0])),
    ]
}

/// Measures the memory of an idle client of the service and of nchan.
pub fn idle(deployment: Deployment, scale: &Scale, runtime: &Runtime) -> Vec<Line> {
    let clients = scale.idle.min(max_clients());
    let (service, stream) = Service::with_stream(deployment, runtime);
    let path = format!("/events?streamId={}", stream.id);
    let own = fanout::idle(&service.process(), service.address, &path, clients);
    drop(service);
    let peer = Nchan::is_installed().then(|| {
        let nchan = Nchan::start();
        fanout::idle(&ProcessGroup::of(nchan.pid()), nchan.address, "/events", clients)
    });
    let kib = |bytes: f64| format!("{:.1} KB", bytes / 1_000.0);
    vec![
        Line::new(format!("memory per idle SSE client, {clients} of them"))
            .peers("–".to_owned(), peer.map_or_else(|| "–".to_owned(), kib), "9 KB", "29 KB")
            .target("≤ 8 KB, stretch 4 KB")
            .own(kib(own)),
    ]
}

/// Returns the number of clients that an instance with the limit of open files of this process accepts at one port,
/// less 500 for other connections and files.
pub fn max_clients() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("limits");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a limit");
    let soft = line.split_ascii_whitespace().next().expect("a number");
    let open_files = soft.parse::<usize>().unwrap_or(usize::MAX);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    ConnectionLimits::new(open_files, threads, usize::MAX, None).of_port.saturating_sub(500)
}

/// Measures the time from a webhook to the event at one client.
pub fn webhook(deployment: Deployment, scale: &Scale, runtime: &Runtime) -> Vec<Line> {
    let (service, stream) = Service::with_stream(deployment, runtime);
    let load = Load { clients: 1, rate: 20, seconds: scale.load.seconds };
    let mut outcome = fanout::service(load, &service, &stream);
    vec![Line::new("webhook in → event out to SSE, p99, unloaded".to_owned()).target("≤ 5 ms").own(format!(
        "{:.1} ms (p50 {:.1} ms)",
        outcome.latencies.percentile(0.99),
        outcome.latencies.percentile(0.5)
    ))]
}
