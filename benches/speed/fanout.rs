//! Fan-out of events to many clients by the service, the write loop and nchan.

use std::{net::SocketAddr, thread, time::Duration};

use livestream_orchestrator::domain::StreamRef;

use super::{
    http::{HttpClient, get, post},
    nchan::Nchan,
    process::ProcessGroup,
    scale::Load,
    service::Service,
    sse_clients::{MARKER, Received, SseClients},
    statistics::{Latencies, now, sleep_until},
    webhooks::webhook,
    write_loop::WriteLoop,
};

/// Results of one fan-out.
pub struct Outcome {
    /// Microseconds of CPU time of the server for each delivery.
    pub cpu_a_delivery: f64,
    /// Time from the moment at which an event was due to its receipt by each client.
    pub latencies: Latencies,
    /// Bytes of one event on the connection of one client.
    pub bytes: usize,
    /// Deliveries that did not arrive.
    pub missing: usize,
}

/// Events before the measured part, for warm caches and connections.
const WARM_UP_SECONDS: u64 = 1;
/// Microseconds between the command to send and the first event.
const LEAD_MICROS: u64 = 200_000;

/// Sends the load by `send`, which gets the time of the first event and the number of events. Returns the results of
/// the measured part.
fn measure(
    load: Load,
    clients: SseClients,
    server: &ProcessGroup,
    send: impl FnOnce(u64, u64) + Send,
) -> Outcome {
    let first = now() + LEAD_MICROS;
    let counted = first + WARM_UP_SECONDS * 1_000_000;
    let all = load.events() + WARM_UP_SECONDS * load.rate;
    clients.count_from(counted);
    let used = thread::scope(|scope| {
        scope.spawn(move || send(first, all));
        sleep_until(counted - load.period() / 2);
        let before = server.cpu();
        sleep_until(counted + load.seconds * 1_000_000 - load.period());
        clients.wait_for(load.deliveries());
        server.cpu() - before
    });
    let Received { by_client, latencies, bytes, messages, lost, .. } = clients.close();
    assert_eq!(lost, 0, "clients were disconnected");
    let received = latencies.0.len();
    assert!(by_client.iter().all(|count| u64::from(*count) <= load.events()), "a message arrived twice");
    Outcome {
        cpu_a_delivery: used.as_secs_f64() * 1e6 / received as f64,
        latencies,
        bytes: usize::try_from(bytes / messages.max(1)).expect("a size"),
        missing: load.deliveries() - received,
    }
}

/// Sends one request for each event when the event is due. A late request does not delay the due time of the next one.
fn publish(address: SocketAddr, load: Load, first: u64, count: u64, request: impl Fn(u64) -> String) {
    let mut client = HttpClient::connect(address);
    for n in 0..count {
        let due = first + n * load.period();
        let request = request(due);
        sleep_until(due);
        client.call(&request);
    }
}

/// Measures the service: webhooks in, `/events` of one stream out.
pub fn service(load: Load, service: &Service, stream: &StreamRef) -> Outcome {
    feed(load, service, stream, &format!("/events?streamId={}", stream.id))
}

/// Measures the service: webhooks of one stream in, the feed at `path` out.
pub fn feed(load: Load, service: &Service, stream: &StreamRef, path: &str) -> Outcome {
    let clients = SseClients::open(service.address, get(path), load.clients);
    measure(load, clients, &service.process(), |first, count| {
        publish(service.address, load, first, count, |due| webhook(stream, due));
    })
}

/// Measures the write loop with events of `bytes` bytes.
pub fn write_loop(load: Load, bytes: usize) -> Outcome {
    let mut writer = WriteLoop::start(load.clients);
    let clients = SseClients::open(writer.address, get("/"), load.clients);
    let process = ProcessGroup::of(writer.pid());
    measure(load, clients, &process, |first, count| writer.send(first, load.period(), count, bytes))
}

/// Measures nchan with events of about `bytes` bytes: its envelope of an event differs by a few bytes.
pub fn nchan(load: Load, bytes: usize) -> Outcome {
    let nchan = Nchan::start();
    let clients = SseClients::open(nchan.address, get("/events"), load.clients);
    // "id: 1764039293:0\ndata: …\n\n"
    let pad = bytes.saturating_sub(MARKER.len() + 16 + 98);
    let body = |due| format!("{{\"name\":{MARKER}{due:016}\",\"pad\":\"{}\"}}", "x".repeat(pad));
    measure(load, clients, &ProcessGroup::of(nchan.pid()), |first, count| {
        publish(nchan.address, load, first, count, |due| post("/publish", "", &body(due)));
    })
}

/// Returns the bytes of memory for each of `count` clients that receive no event.
pub fn idle(server: &ProcessGroup, address: SocketAddr, path: &str, count: usize) -> f64 {
    let before = server.memory();
    let clients = SseClients::open(address, get(path), count);
    thread::sleep(Duration::from_secs(2));
    let after = server.memory();
    clients.close();
    after.saturating_sub(before) as f64 / count as f64
}
