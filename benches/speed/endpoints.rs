//! Webhook endpoints: their effect on joins, and the delays of deliveries beside endpoints that misbehave.

use std::{
    cell::Cell,
    fs,
    process::Command,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use chrono::DateTime;
use livestream_orchestrator::domain::StreamRef;
use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};

use super::{
    deployment::Deployment,
    http::{HttpClient, answer_length, post},
    http_load::{HttpLoad, Outcome, Pacing},
    process::ProcessGroup,
    scale::Scale,
    service::Service,
    statistics::{Latencies, median, now},
    support::servers::Postgres,
    table::Line,
};

/// Number of endpoints.
const ENDPOINTS: usize = 10;
/// Streams that are joined.
const STREAMS: usize = 50;
/// Joins a second: less than the machine's limit also with the deliveries of all events.
const RATE: f64 = 300.0;
const CONNECTIONS: usize = 32;
/// Minimum number of rounds, because the p99 of one round varies by a fifth.
const MIN_ROUNDS: usize = 9;
/// Maximum time until the deliveries of a load are made.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// What an endpoint does with a request.
#[derive(Clone, Copy)]
enum Reply {
    Status(&'static str),
    Hang,
}

const ACCEPTED: Reply = Reply::Status("204 No Content\r\n");
/// Replies of endpoints that misbehave.
const MISBEHAVING: [Reply; 3] = [
    Reply::Hang,
    Reply::Status("500 Internal Server Error\r\ncontent-length: 0\r\n"),
    Reply::Status("307 Temporary Redirect\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n"),
];

/// Delivery to an endpoint. Times are in microseconds.
struct Delivery {
    /// Time of the event.
    at: u64,
    /// Time from the event to the delivery.
    delay: u32,
}

/// Endpoints with their deliveries. Their thread stands for other machines, so it runs only while nothing
/// else wants its core.
struct Endpoints {
    deliveries: Mutex<Vec<Delivery>>,
    runtime: Runtime,
}

impl Endpoints {
    fn new() -> Arc<Self> {
        let mut runtime = Builder::new_multi_thread();
        runtime.worker_threads(1).enable_all().on_thread_start(|| give_way(&own_thread()));
        let runtime = runtime.build().expect("a runtime");
        Arc::new(Self { deliveries: Mutex::default(), runtime })
    }

    /// Starts an endpoint; returns its URL.
    fn start(self: &Arc<Self>, reply: Reply) -> String {
        let listener = self.runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let endpoints = self.clone();
        self.runtime.spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(endpoints.clone().serve(connection, reply));
            }
        });
        url
    }

    async fn serve(self: Arc<Self>, mut connection: TcpStream, reply: Reply) {
        let mut read = Vec::new();
        loop {
            match connection.read_buf(&mut read).await {
                Ok(1..) => {}
                _ => return,
            }
            // The head of a request has the same form as that of an answer.
            if answer_length(&read).is_none_or(|length| read.len() < length) {
                continue;
            }
            let Reply::Status(status) = reply else { std::future::pending().await };
            if status.starts_with('2') {
                self.record(&read);
            }
            read.clear();
            if connection.write_all(format!("HTTP/1.1 {status}\r\n").as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn record(&self, request: &[u8]) {
        let name = b"\"timestamp\":\"";
        let start = memmem::find(request, name).expect("an event") + name.len();
        let length = memchr::memchr(b'"', &request[start..]).expect("a text");
        let time = std::str::from_utf8(&request[start..start + length]).expect("a text");
        let time = DateTime::parse_from_rfc3339(time).expect("a time").timestamp_micros();
        let at = u64::try_from(time).expect("a time after 1970");
        let delay = u32::try_from(now().saturating_sub(at)).unwrap_or(u32::MAX);
        self.deliveries.lock().expect("no panic").push(Delivery { at, delay });
    }

    /// Forgets the deliveries so far.
    fn clear(&self) {
        self.deliveries.lock().expect("no panic").clear();
    }

    /// Waits until `count` deliveries are made; returns the delays of events after a time, in microseconds.
    fn wait_for(&self, count: usize, begin: u64) -> Latencies {
        let delivered = || self.deliveries.lock().expect("no panic").len();
        let deadline = std::time::Instant::now() + MAX_WAIT;
        while delivered() < count {
            assert!(std::time::Instant::now() < deadline, "{} of {count} deliveries", delivered());
            thread::sleep(Duration::from_millis(50));
        }
        let deliveries = self.deliveries.lock().expect("no panic");
        Latencies(deliveries.iter().filter(|one| one.at >= begin).map(|one| one.delay).collect())
    }
}

/// Lets a process, or a thread, run only while nothing else wants its core.
fn give_way(id: &str) {
    let arguments = ["--idle", "--pid", "0", id];
    let status = Command::new("chrt").args(arguments).status().expect("chrt");
    // Postgres has processes that live briefly.
    let is_alive = fs::exists(format!("/proc/{id}")).expect("proc(5)");
    assert!(status.success() || !is_alive, "scheduling class of {id} not changed");
}

/// Returns the id of the calling thread.
fn own_thread() -> String {
    let link = fs::read_link("/proc/thread-self").expect("proc(5)");
    link.file_name().expect("a thread").to_string_lossy().into_owned()
}

/// A service with streams that are joined.
struct Case {
    service: Service,
    streams: Vec<StreamRef>,
    endpoints: Arc<Endpoints>,
    /// Endpoints that get every event.
    well: usize,
    /// The database of the history.
    _postgres: Option<Postgres>,
}

impl Case {
    /// Starts a service whose endpoints reply so, with a history or without.
    fn start(deployment: Deployment, replies: &[Reply], has_history: bool, runtime: &Runtime) -> Self {
        let postgres = has_history.then(Postgres::start);
        let database = postgres.as_ref().map(|postgres| runtime.block_on(postgres.create_database()));
        if let Some(postgres) = &postgres {
            // It stands for another machine.
            ProcessGroup::of(postgres.pid()).pids().iter().for_each(|pid| give_way(&pid.to_string()));
        }
        let settings = database.as_deref().map(|url| ("DATABASE_URL", url));
        let service = runtime.block_on(Service::start_with(deployment, settings.as_slice()));
        let mut streams = Vec::new();
        for n in 0..STREAMS {
            streams.push(runtime.block_on(service.stream(&format!("joined-{n}"))));
        }
        let (endpoints, mut client) = (Endpoints::new(), HttpClient::connect(service.address));
        for reply in replies {
            let body = format!("{{\"url\":\"{}\"}}", endpoints.start(*reply));
            client.call(&post("/webhook-endpoints", "content-type: application/json\r\n", &body));
        }
        let well =
            replies.iter().filter(|reply| matches!(reply, Reply::Status(status) if status.starts_with('2')));
        Self { service, streams, endpoints, well: well.count(), _postgres: postgres }
    }

    /// Joins with new identities, which `round` makes different from those of other rounds.
    fn join(&self, round: usize, duration: Duration) -> (Outcome, Latencies) {
        let request = |n: u64| {
            let stream = &self.streams[usize::try_from(n).expect("a count") % STREAMS];
            let body = format!("{{\"identity\":\"person-{round}-{n}\",\"role\":\"host\"}}");
            post(&format!("/streams/{}/join", stream.id), "content-type: application/json\r\n", &body)
        };
        let (process, redis) = (self.service.process(), self.service.redis());
        let load = HttpLoad {
            address: self.service.address,
            connections: CONNECTIONS,
            pacing: Pacing::Open(RATE),
            request: &request,
            service: &process,
            redis: &redis,
        };
        self.endpoints.clear();
        let begin = Cell::new(0);
        let outcome = load.run_after(|| begin.set(now()), duration);
        let delays = self.endpoints.wait_for((outcome.warm_up + outcome.answered) * self.well, begin.get());
        (outcome, delays)
    }
}

/// Results of all rounds.
#[derive(Default)]
struct Rounds {
    /// p99 with endpoints ÷ without: ten, and ten beside an archiver.
    ratios: [Vec<f64>; 2],
    /// CPU time of a delivery, in microseconds.
    costs: Vec<f64>,
    /// Delays of deliveries without and beside endpoints that misbehave.
    delays: [Latencies; 2],
}

impl Rounds {
    /// Adds a round without endpoints, with ten, with an archiver too, and with some that misbehave.
    fn add(&mut self, [mut without, mut with, mut archived, mut mixed]: [(Outcome, Latencies); 4]) {
        let p99s = [&mut without, &mut with, &mut archived, &mut mixed]
            .map(|(outcome, _)| outcome.latencies.percentile(0.99));
        println!(
            "p99 of joins without endpoints, with ten, with a history too, if some misbehave: {p99s:.2?} ms"
        );
        self.ratios.iter_mut().zip(&p99s[1..]).for_each(|(ratios, p99)| ratios.push(p99 / p99s[0]));
        self.costs.push((with.0.cpu - without.0.cpu) * 1e6 / with.1.0.len() as f64);
        self.delays[0].0.extend(with.1.0);
        self.delays[1].0.extend(mixed.1.0);
    }
}

/// Measures joins without endpoints, with ten, with ten and a history, and with ten of which some misbehave, in turn.
pub fn all(deployment: Deployment, scale: &Scale, runtime: &Runtime) -> Vec<Line> {
    let misbehaving = [&[ACCEPTED; ENDPOINTS - MISBEHAVING.len()][..], &MISBEHAVING].concat();
    let accepting = &[ACCEPTED; ENDPOINTS][..];
    let cases = [(&[][..], false), (accepting, false), (accepting, true), (&misbehaving, false)];
    let cases = cases.map(|(replies, has_history)| Case::start(deployment, replies, has_history, runtime));
    let mut rounds = Rounds::default();
    for round in 0..scale.rounds.max(MIN_ROUNDS) {
        rounds.add(cases.each_ref().map(|case| case.join(round, scale.requests)));
    }
    let Rounds { ratios, costs, delays } = rounds;
    let ([with, archived], cost) = (ratios.map(median), median(costs));
    let [well, beside] = delays.map(|mut delays| {
        let [half, most, all] = [0.5, 0.99, 1.0].map(|share| delays.percentile(share));
        format!("p50 {half:.0} ms, p99 {most:.0} ms, max {all:.0} ms")
    });
    vec![
        Line::new(format!("p99 of {RATE} joins a second with {ENDPOINTS} webhook endpoints ÷ without"))
            .target("≤ 1.05")
            .own(format!("{with:.2}, with a history too {archived:.2}; {cost:.0} µs of CPU a delivery")),
        Line::new(format!("event → webhook, {ENDPOINTS} endpoints, same load")).target("–").own(well),
        Line::new("same, three of which hang, answer 500 and redirect: delays of the others".to_owned())
            .target("max ≤ 1 s")
            .own(beside),
    ]
}
