//! Events to many clients: the service, the floor and nchan, one after another in each round.

use std::{net::SocketAddr, thread, time::Duration};

use livestream_orchestrator::domain::StreamRef;

use super::{
    audience::{Audience, Heard, MARK},
    figures::{Latencies, now, sleep_until},
    floor::Floor,
    nchan::Nchan,
    process::Family,
    service::{Service, webhook},
    wire::{Caller, get, post},
};

/// How much is sent to how many.
#[derive(Clone, Copy)]
pub struct Load {
    /// Clients that listen.
    pub clients: usize,
    /// Events a second.
    pub rate: u64,
    /// For how long.
    pub seconds: u64,
}

impl Load {
    const fn period(self) -> u64 {
        1_000_000 / self.rate
    }

    const fn events(self) -> u64 {
        self.rate * self.seconds
    }

    /// As many, in messages to clients.
    fn deliveries(self) -> usize {
        self.clients * usize::try_from(self.events()).expect("a count")
    }
}

/// What came of it.
pub struct Outcome {
    /// Microseconds of CPU time, of the server alone, for each delivery.
    pub cpu_a_delivery: f64,
    /// From when an event was due until each client had it.
    pub latencies: Latencies,
    /// Bytes of one event on the wire, as one client gets it.
    pub bytes: usize,
    /// What should have been delivered and was not.
    pub missing: usize,
}

/// Before what is counted: caches and connections are warm then.
const WARM_UP_SECONDS: u64 = 1;
/// Between the order to send and the first event.
const LEAD_MICROS: u64 = 200_000;

/// Sends the load by `send`, which is told the time of the first event and how many there are, and gives what the audience
/// heard of the part that counts.
fn measure(load: Load, audience: Audience, server: &Family, send: impl FnOnce(u64, u64) + Send) -> Outcome {
    let first = now() + LEAD_MICROS;
    let counted = first + WARM_UP_SECONDS * 1_000_000;
    let all = load.events() + WARM_UP_SECONDS * load.rate;
    audience.count_from(counted);
    let used = thread::scope(|scope| {
        scope.spawn(move || send(first, all));
        sleep_until(counted - load.period() / 2);
        let before = server.cpu();
        sleep_until(counted + load.seconds * 1_000_000 - load.period());
        audience.wait_for(load.deliveries());
        server.cpu() - before
    });
    let Heard { by_client, latencies, bytes, messages, lost } = audience.close();
    assert_eq!(lost, 0, "clients were cut off");
    let heard = latencies.0.len();
    assert!(by_client.iter().all(|count| u64::from(*count) <= load.events()), "something came twice");
    Outcome {
        cpu_a_delivery: used.as_secs_f64() * 1e6 / heard as f64,
        latencies,
        bytes: usize::try_from(bytes / messages.max(1)).expect("a size"),
        missing: load.deliveries() - heard,
    }
}

/// Makes one request for each event, when it is due; one that is late does not make the next later than it is.
fn publish(address: SocketAddr, load: Load, first: u64, count: u64, request: impl Fn(u64) -> String) {
    let mut caller = Caller::to(address);
    for n in 0..count {
        let due = first + n * load.period();
        let request = request(due);
        sleep_until(due);
        caller.call(&request);
    }
}

/// The service: webhooks in, `/events` of one stream out.
pub fn service(load: Load, service: &Service, stream: &StreamRef) -> Outcome {
    let path = format!("/events?streamId={}", stream.id);
    let audience = Audience::open(service.address, get(&path), load.clients);
    measure(load, audience, &service.process(), |first, count| {
        publish(service.address, load, first, count, |due| webhook(stream, due));
    })
}

/// The bare write loop, with as many bytes.
pub fn floor(load: Load, bytes: usize) -> Outcome {
    let mut floor = Floor::start(load.clients);
    let audience = Audience::open(floor.address, get("/"), load.clients);
    let family = Family::of(floor.pid());
    measure(load, audience, &family, |first, count| floor.order(first, load.period(), count, bytes))
}

/// nchan, with as many bytes but for the few that its own form of an event differs by.
pub fn nchan(load: Load, bytes: usize) -> Outcome {
    let nchan = Nchan::start();
    let audience = Audience::open(nchan.address, get("/events"), load.clients);
    // "id: 1764039293:0\ndata: …\n\n"
    let pad = bytes.saturating_sub(MARK.len() + 16 + 98);
    let body = |due| format!("{{\"name\":{MARK}{due:016}\",\"pad\":\"{}\"}}", "x".repeat(pad));
    measure(load, audience, &Family::of(nchan.pid()), |first, count| {
        publish(nchan.address, load, first, count, |due| post("/publish", "", &body(due)));
    })
}

/// Bytes of memory that each of so many clients costs who hears nothing.
pub fn idle(server: &Family, address: SocketAddr, path: &str, clients: usize) -> f64 {
    let before = server.memory();
    let audience = Audience::open(address, get(path), clients);
    thread::sleep(Duration::from_secs(2));
    let after = server.memory();
    audience.close();
    after.saturating_sub(before) as f64 / clients as f64
}
