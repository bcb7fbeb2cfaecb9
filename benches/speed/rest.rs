//! Requests and answers: a closed loop that asks again as soon as it is answered, and an open one that asks when it is
//! time to, answered or not.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};

use super::{figures::Latencies, process::Family, wire};

/// When the next request is sent.
#[derive(Clone, Copy)]
pub enum Pace {
    /// When the one before it on its connection is answered.
    Closed,
    /// So many a second, whatever happens; each is timed from when it was due.
    Open(f64),
}

/// What came of it.
pub struct Outcome {
    /// Requests that were answered.
    pub answered: usize,
    /// In how many seconds.
    pub seconds: f64,
    /// Seconds of CPU time of the service.
    pub cpu: f64,
    /// And of Redis.
    pub redis_cpu: f64,
    /// From when a request was due until its answer was read.
    pub latencies: Latencies,
}

impl Outcome {
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.seconds
    }

    /// Answers for each second of the service's CPU time.
    pub fn rate_a_cpu_second(&self) -> f64 {
        self.answered as f64 / self.cpu
    }
}

struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
    /// When the request under way was due.
    due: Option<Instant>,
}

/// Makes requests, numbered from 0, over so many connections.
pub struct Caller<'a> {
    pub address: SocketAddr,
    pub connections: usize,
    pub pace: Pace,
    pub request: &'a dyn Fn(u64) -> String,
    pub service: &'a Family,
    pub redis: &'a Family,
}

struct Running<'a> {
    request: &'a dyn Fn(u64) -> String,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    sent: u64,
    latencies: Latencies,
    buffer: Vec<u8>,
}

/// Requests that warm connections and caches up.
const WARM_UP: Duration = Duration::from_millis(300);

impl Caller<'_> {
    /// Asks for as long.
    pub fn run(&self, duration: Duration) -> Outcome {
        let mut poll = Poll::new().expect("epoll");
        let mut running = Running {
            request: self.request,
            connections: (0..self.connections).map(|n| self.connect(&poll, n)).collect(),
            idle: (0..self.connections).collect(),
            sent: 0,
            latencies: Latencies::default(),
            buffer: vec![0; 64 * 1024],
        };
        running.go(&mut poll, self.pace, WARM_UP);
        running.latencies.0.clear();
        let (cpu, redis_cpu, begun) = (self.service.cpu(), self.redis.cpu(), Instant::now());
        running.go(&mut poll, self.pace, duration);
        Outcome {
            answered: running.latencies.0.len(),
            seconds: begun.elapsed().as_secs_f64(),
            cpu: (self.service.cpu() - cpu).as_secs_f64(),
            redis_cpu: (self.redis.cpu() - redis_cpu).as_secs_f64(),
            latencies: running.latencies,
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

impl Running<'_> {
    /// Asks for as long, and waits for the answers.
    fn go(&mut self, poll: &mut Poll, pace: Pace, duration: Duration) {
        let (begun, mut events, mut due) = (Instant::now(), Events::with_capacity(1_024), 0_u64);
        loop {
            let now = Instant::now();
            let is_over = now - begun >= duration;
            if is_over && self.idle.len() == self.connections.len() {
                return;
            }
            assert!(now - begun < duration + Duration::from_secs(30), "no answer");
            let when = |n: u64| match pace {
                Pace::Closed => now,
                Pace::Open(rate) => begun + Duration::from_secs_f64(n as f64 / rate),
            };
            while when(due) <= now && when(due) - begun < duration && !self.idle.is_empty() {
                self.ask(when(due));
                due += 1;
            }
            let wait = if matches!(pace, Pace::Open(_)) { Duration::from_millis(1) } else { duration };
            match poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => panic!("epoll: {error}"),
                _ => {}
            }
            for event in &events {
                self.read(event.token().0);
            }
        }
    }

    fn ask(&mut self, due: Instant) {
        let Some(number) = self.idle.pop_front() else { return };
        let request = (self.request)(self.sent);
        self.sent += 1;
        let connection = &mut self.connections[number];
        connection.due = Some(due);
        let written = connection.stream.write(request.as_bytes()).expect("a request that is taken");
        assert_eq!(written, request.len(), "a request larger than a socket takes at once");
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
        if wire::length(&connection.answer).is_none_or(|length| connection.answer.len() < length) {
            return;
        }
        assert!(wire::is_success(&connection.answer), "{}", String::from_utf8_lossy(&connection.answer));
        connection.answer.clear();
        connection.due = None;
        self.latencies.0.push(u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX));
        self.idle.push_back(number);
    }
}
