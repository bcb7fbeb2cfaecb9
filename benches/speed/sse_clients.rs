//! Clients that receive events: one thread and one epoll for all of them.
//!
//! Every message has a marker with the time at which it was due, not the time at which it was sent. Latencies therefore
//! include the delay of a late sender.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use memchr::memmem::Finder;
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use socket2::{Domain, Socket, Type};

use super::statistics::{Latencies, now};

/// Start of the marker; 16 digits of microseconds follow.
pub const MARKER: &str = "\"at=";
/// Greatest number of bytes of a marker.
const MARKER_BYTES: usize = MARKER.len() + 16;

/// Text in each message that has a time.
#[derive(Clone, Copy)]
struct Marker {
    start: &'static str,
    digits: usize,
    /// Microseconds of the unit of the digits.
    unit: u64,
}

impl Marker {
    /// The time at which the message was due.
    const DUE: Self = Self { start: MARKER, digits: 16, unit: 1 };
    /// The cursor, which begins with the milliseconds at which the event was recorded.
    const CURSOR: Self = Self { start: "\nid: ", digits: 13, unit: 1_000 };

    const fn bytes(self) -> usize {
        self.start.len() + self.digits
    }
}

/// Clients of one loopback address, which has about 28,000 ports.
const CLIENTS_PER_ADDRESS: usize = 20_000;
/// Maximum unanswered connections at a time.
const MAX_OPENING: usize = 200;
const DEADLINE: Duration = Duration::from_secs(60);

/// State that the thread and its owner share.
#[derive(Default)]
struct Control {
    /// Messages that were due before this time are not counted.
    since: AtomicU64,
    /// Messages counted so far.
    received: AtomicUsize,
    opened: AtomicUsize,
    is_closed: AtomicBool,
}

/// Messages received since counting began.
#[derive(Default)]
pub struct Received {
    /// Number of messages of each client.
    pub by_client: Vec<u32>,
    /// Time from the moment at which each message was due to its receipt.
    pub latencies: Latencies,
    /// Times of each counted message of each client, if they are recorded: its own and that of its receipt.
    pub arrivals: Vec<Vec<(u64, u64)>>,
    /// All bytes since counting began and all messages in them, including those that were due before.
    pub bytes: u64,
    pub messages: u64,
    /// Clients that the server disconnected.
    pub lost: usize,
}

/// Handle to the clients' thread.
pub struct SseClients {
    control: Arc<Control>,
    thread: JoinHandle<Received>,
}

impl SseClients {
    /// Connects `count` clients, each with this request, and waits until all are answered.
    pub fn open(address: SocketAddr, request: String, count: usize) -> Self {
        Self::open_with(Marker::DUE, address, request, count)
    }

    /// As [`Self::open`], for a feed whose events have no marker. Messages count from the time at which they were
    /// recorded, and their arrivals are recorded.
    pub fn open_recording(address: SocketAddr, request: String, count: usize) -> Self {
        Self::open_with(Marker::CURSOR, address, request, count)
    }

    fn open_with(marker: Marker, address: SocketAddr, request: String, count: usize) -> Self {
        let control = Arc::new(Control::default());
        control.since.store(u64::MAX, SeqCst);
        let of_thread = control.clone();
        let thread =
            std::thread::spawn(move || Receiver::new(marker, of_thread, count).run(address, &request));
        while control.opened.load(SeqCst) < count {
            assert!(!thread.is_finished(), "the clients' thread ended");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { control, thread }
    }

    /// Counts messages that are due from this time on.
    pub fn count_from(&self, micros: u64) {
        self.control.received.store(0, SeqCst);
        self.control.since.store(micros, SeqCst);
    }

    /// Waits until `messages` messages have been counted, for at most 10 s.
    pub fn wait_for(&self, messages: usize) {
        let end = Instant::now() + Duration::from_secs(10);
        while self.control.received.load(SeqCst) < messages && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Disconnects all clients and returns what they received.
    pub fn close(self) -> Received {
        self.control.is_closed.store(true, SeqCst);
        self.thread.join().expect("the clients")
    }
}

struct Client {
    stream: TcpStream,
    /// The end of the previous read, because a marker may be split between two reads.
    rest: [u8; MARKER_BYTES],
    rest_bytes: u8,
    is_open: bool,
}

struct Receiver {
    marker: Marker,
    control: Arc<Control>,
    poll: Poll,
    finder: Finder<'static>,
    clients: Vec<Client>,
    received: Received,
    buffer: Vec<u8>,
}

impl Receiver {
    fn new(marker: Marker, control: Arc<Control>, count: usize) -> Self {
        let by_client = vec![0; count];
        let received = Received { by_client, arrivals: vec![Vec::new(); count], ..Received::default() };
        let (poll, finder) = (Poll::new().expect("epoll"), Finder::new(marker.start));
        let buffer = vec![0; MARKER_BYTES + 64 * 1024];
        Self { marker, control, poll, finder, clients: Vec::with_capacity(count), received, buffer }
    }

    fn run(mut self, address: SocketAddr, request: &str) -> Received {
        let mut events = Events::with_capacity(1_024);
        let count = self.received.by_client.len();
        let end = Instant::now() + DEADLINE;
        while self.clients.len() < count {
            self.connect(address, request);
            while self.control.opened.load(SeqCst) + MAX_OPENING < self.clients.len() {
                assert!(Instant::now() < end, "the server answers no client");
                self.poll_once(&mut events);
            }
        }
        while !self.control.is_closed.load(SeqCst) {
            self.poll_once(&mut events);
        }
        self.received
    }

    fn connect(&mut self, address: SocketAddr, request: &str) {
        let number = self.clients.len();
        let own =
            Ipv4Addr::new(127, 0, 0, u8::try_from(2 + number / CLIENTS_PER_ADDRESS).expect("an address"));
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a file descriptor for a client");
        socket.set_reuse_address(true).expect("a socket");
        // No TIME_WAIT after the close, because the next round needs the ports.
        socket.set_linger(Some(Duration::ZERO)).expect("a socket");
        socket.bind(&SocketAddr::from((own, 0)).into()).expect("a port");
        socket.connect(&address.into()).expect("a connection");
        let mut stream = std::net::TcpStream::from(socket);
        stream.write_all(request.as_bytes()).expect("a request that is taken");
        stream.set_nonblocking(true).expect("a socket");
        let mut stream = TcpStream::from_std(stream);
        self.poll.registry().register(&mut stream, Token(number), Interest::READABLE).expect("epoll");
        self.clients.push(Client { stream, rest: [0; MARKER_BYTES], rest_bytes: 0, is_open: false });
    }

    fn poll_once(&mut self, events: &mut Events) {
        match self.poll.poll(events, Some(Duration::from_millis(20))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => panic!("epoll: {error}"),
            _ => {}
        }
        let since = self.control.since.load(SeqCst);
        for event in &*events {
            self.read(event.token().0, since);
        }
        self.control.received.store(self.received.latencies.0.len(), SeqCst);
    }

    /// Reads the available bytes. A read that does not fill the buffer has emptied the socket.
    fn read(&mut self, number: usize, since: u64) {
        loop {
            match self.clients[number].stream.read(&mut self.buffer[MARKER_BYTES..]) {
                Ok(0) => {
                    self.received.lost += 1;
                    return;
                }
                Ok(bytes) => {
                    self.scan(number, bytes, since);
                    if bytes < self.buffer.len() - MARKER_BYTES {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    self.received.lost += 1;
                    return;
                }
                Err(error) => panic!("a client: {error}"),
            }
        }
    }

    fn scan(&mut self, number: usize, bytes: usize, since: u64) {
        let client = &mut self.clients[number];
        let is_counting = since < u64::MAX;
        if client.is_open {
            self.received.bytes += if is_counting { bytes as u64 } else { 0 };
        } else {
            let head = &self.buffer[MARKER_BYTES..][..bytes];
            assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(head));
            client.is_open = true;
            self.control.opened.fetch_add(1, SeqCst);
        }
        let rest = usize::from(client.rest_bytes);
        let (from, to) = (MARKER_BYTES - rest, MARKER_BYTES + bytes);
        self.buffer[from..MARKER_BYTES].copy_from_slice(&client.rest[..rest]);
        let text = &self.buffer[from..to];
        let (mut done, time) = (0, now());
        let Marker { start, digits, unit } = self.marker;
        while let Some(at) = self.finder.find(&text[done..]) {
            let from = done + at + start.len();
            let Some(digits) = text.get(from..from + digits) else { break };
            let due = unit * digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
            done = from + digits.len();
            self.received.messages += u64::from(is_counting);
            if due >= since {
                self.received.by_client[number] += 1;
                self.received.latencies.0.push(u32::try_from(time.saturating_sub(due)).unwrap_or(u32::MAX));
                if unit > 1 {
                    self.received.arrivals[number].push((due, time));
                }
            }
        }
        let rest = &text[done.max(text.len().saturating_sub(self.marker.bytes() - 1))..];
        client.rest[..rest.len()].copy_from_slice(rest);
        client.rest_bytes = u8::try_from(rest.len()).expect("few");
    }
}
