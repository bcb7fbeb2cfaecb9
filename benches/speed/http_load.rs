//! Load generator for requests: a closed loop, which sends the next request after the answer, and an open loop, which
//! sends at a fixed rate.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};

use super::{
    http,
    process::ProcessGroup,
    statistics::{Latencies, now},
};

/// Time of the next request.
#[derive(Clone, Copy)]
pub enum Pacing {
    /// After the answer to the previous request on the connection.
    Closed,
    /// At this rate, in requests a second. Latency counts from the time at which a request was due.
    Open(f64),
}

/// Results of one load.
pub struct Outcome {
    /// Requests of the warm-up, which are not measured.
    pub warm_up: usize,
    /// Answered requests.
    pub answered: usize,
    pub seconds: f64,
    /// CPU time of the service, in seconds.
    pub cpu: f64,
    /// CPU time of Redis, in seconds.
    pub redis_cpu: f64,
    /// Time from the moment at which a request was due to its answer.
    pub latencies: Latencies,
    /// Times of the answers, on the clock of [`now`].
    pub answered_at: Vec<u64>,
}

impl Outcome {
    /// Returns the answers a second.
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.seconds
    }

    /// Returns the answers for each second of the service's CPU time.
    pub fn rate_per_cpu_second(&self) -> f64 {
        self.answered as f64 / self.cpu
    }
}

struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
    /// Time at which the request in progress was due.
    due: Option<Instant>,
}

/// A load: requests, numbered from 0, over a number of connections.
pub struct HttpLoad<'a> {
    pub address: SocketAddr,
    pub connections: usize,
    pub pacing: Pacing,
    pub request: &'a dyn Fn(u64) -> String,
    pub service: &'a ProcessGroup,
    pub redis: &'a ProcessGroup,
}

struct Connections<'a> {
    request: &'a dyn Fn(u64) -> String,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    sent: u64,
    latencies: Latencies,
    answered_at: Vec<u64>,
    buffer: Vec<u8>,
}

/// Time of unmeasured requests, for warm connections and caches.
const WARM_UP: Duration = Duration::from_millis(300);

impl HttpLoad<'_> {
    /// Sends requests for `duration`, after a warm-up.
    pub fn run(&self, duration: Duration) -> Outcome {
        self.run_after(|| {}, duration)
    }

    /// As [`Self::run`]; calls `started` after the warm-up.
    pub fn run_after(&self, started: impl Fn(), duration: Duration) -> Outcome {
        let mut poll = Poll::new().expect("epoll");
        let mut run = Connections {
            request: self.request,
            connections: (0..self.connections).map(|n| self.connect(&poll, n)).collect(),
            idle: (0..self.connections).collect(),
            sent: 0,
            latencies: Latencies::default(),
            answered_at: Vec::new(),
            buffer: vec![0; 64 * 1024],
        };
        run.send_for(&mut poll, self.pacing, WARM_UP);
        let warm_up = run.latencies.0.len();
        run.latencies.0.clear();
        run.answered_at.clear();
        started();
        let (cpu, redis_cpu, begin) = (self.service.cpu(), self.redis.cpu(), Instant::now());
        run.send_for(&mut poll, self.pacing, duration);
        Outcome {
            warm_up,
            answered: run.latencies.0.len(),
            seconds: begin.elapsed().as_secs_f64(),
            cpu: (self.service.cpu() - cpu).as_secs_f64(),
            redis_cpu: (self.redis.cpu() - redis_cpu).as_secs_f64(),
            latencies: run.latencies,
            answered_at: run.answered_at,
        }
    }

    fn connect(&self, poll: &Poll, number: usize) -> Connection {
        let stream = std::net::TcpStream::connect(self.address).expect("a listener");
        stream.set_nodelay(true).expect("a socket");
        stream.set_nonblocking(true).expect("a socket");
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(number), Interest::READABLE).expect("epoll");
        Connection { stream, answer: Vec::new(), due: None }
    }
}

impl Connections<'_> {
    /// Sends requests for `duration` and waits for the answers.
    fn send_for(&mut self, poll: &mut Poll, pacing: Pacing, duration: Duration) {
        let (started, mut events, mut due) = (Instant::now(), Events::with_capacity(1_024), 0_u64);
        loop {
            let now = Instant::now();
            let is_over = now - started >= duration;
            if is_over && self.idle.len() == self.connections.len() {
                return;
            }
            assert!(now - started < duration + Duration::from_secs(30), "no answer");
            let when = |n: u64| match pacing {
                Pacing::Closed => now,
                Pacing::Open(rate) => started + Duration::from_secs_f64(n as f64 / rate),
            };
            while when(due) <= now && when(due) - started < duration && !self.idle.is_empty() {
                self.send(when(due));
                due += 1;
            }
            let wait = if matches!(pacing, Pacing::Open(_)) { Duration::from_millis(1) } else { duration };
            match poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => panic!("epoll: {error}"),
                _ => {}
            }
            for event in &events {
                self.read(event.token().0);
            }
        }
    }

    fn send(&mut self, due: Instant) {
        let Some(number) = self.idle.pop_front() else { return };
        let request = (self.request)(self.sent);
        self.sent += 1;
        let connection = &mut self.connections[number];
        connection.due = Some(due);
        let written = connection.stream.write(request.as_bytes()).expect("a request that is taken");
        assert_eq!(written, request.len(), "the request does not fit into the socket's buffer");
    }

    fn read(&mut self, number: usize) {
        loop {
            let connection = &mut self.connections[number];
            match connection.stream.read(&mut self.buffer) {
                Ok(0) => panic!("the service has closed a connection"),
                Ok(bytes) => connection.answer.extend_from_slice(&self.buffer[..bytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("a connection: {error}"),
            }
        }
        let connection = &mut self.connections[number];
        let Some(due) = connection.due else { return };
        if http::answer_length(&connection.answer).is_none_or(|length| connection.answer.len() < length) {
            return;
        }
        assert!(http::is_success(&connection.answer), "{}", String::from_utf8_lossy(&connection.answer));
        connection.answer.clear();
        connection.due = None;
        self.answered_at.push(now());
        self.latencies.0.push(u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX));
        self.idle.push_back(number);
    }
}
