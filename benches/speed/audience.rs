//! Clients that follow events: one thread and one epoll for all of them.
//!
//! Every message has a mark with the time at which it was due to be sent, however late it was really sent. What is
//! taken from that time to the receipt leaves nothing out.

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

use super::figures::{Latencies, now};

/// What the mark begins with; 16 digits of microseconds follow.
pub const MARK: &str = "\"at=";
const DIGITS: usize = 16;
const MARK_BYTES: usize = MARK.len() + DIGITS;
/// Clients of one loopback address; it has some 28,000 ports.
const CLIENTS_AN_ADDRESS: usize = 20_000;
/// Connections that are being opened at once.
const OPENING: usize = 200;
const DEADLINE: Duration = Duration::from_secs(60);

/// Steers the thread.
#[derive(Default)]
struct Control {
    /// Messages that were due before this are not counted.
    since: AtomicU64,
    /// Messages counted so far.
    heard: AtomicUsize,
    opened: AtomicUsize,
    ended: AtomicBool,
}

/// What was heard since it began to count.
#[derive(Default)]
pub struct Heard {
    /// Messages of each client.
    pub by_client: Vec<u32>,
    /// From when each was due until it was read.
    pub latencies: Latencies,
    /// All bytes that arrived after the head, and all messages in them, whether counted or not.
    pub bytes: u64,
    pub messages: u64,
    /// Clients that were cut off.
    pub lost: usize,
}

/// A number of clients.
pub struct Audience {
    control: Arc<Control>,
    thread: JoinHandle<Heard>,
}

impl Audience {
    /// Connects so many clients, each with this request, and waits until all are answered.
    pub fn open(address: SocketAddr, request: String, count: usize) -> Self {
        let control = Arc::new(Control::default());
        control.since.store(u64::MAX, SeqCst);
        let of_thread = control.clone();
        let thread = std::thread::spawn(move || Ears::new(of_thread, count).listen(address, &request));
        while control.opened.load(SeqCst) < count {
            assert!(!thread.is_finished(), "the clients have gone");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { control, thread }
    }

    /// Counts what is due from this time on.
    pub fn count_from(&self, micros: u64) {
        self.control.heard.store(0, SeqCst);
        self.control.since.store(micros, SeqCst);
    }

    /// Waits until so many messages have been counted, at most a few seconds.
    pub fn wait_for(&self, messages: usize) {
        let end = Instant::now() + Duration::from_secs(10);
        while self.control.heard.load(SeqCst) < messages && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Disconnects everybody.
    pub fn close(self) -> Heard {
        self.control.ended.store(true, SeqCst);
        self.thread.join().expect("the clients")
    }
}

struct Client {
    stream: TcpStream,
    /// The end of what was read before: a mark may be cut in two.
    rest: [u8; MARK_BYTES],
    rest_bytes: u8,
    is_open: bool,
}

struct Ears {
    control: Arc<Control>,
    poll: Poll,
    finder: Finder<'static>,
    clients: Vec<Client>,
    heard: Heard,
    buffer: Vec<u8>,
}

impl Ears {
    fn new(control: Arc<Control>, count: usize) -> Self {
        let heard = Heard { by_client: vec![0; count], ..Heard::default() };
        let (poll, finder) = (Poll::new().expect("epoll"), Finder::new(MARK));
        let buffer = vec![0; MARK_BYTES + 64 * 1024];
        Self { control, poll, finder, clients: Vec::with_capacity(count), heard, buffer }
    }

    fn listen(mut self, address: SocketAddr, request: &str) -> Heard {
        let mut events = Events::with_capacity(1_024);
        let count = self.heard.by_client.len();
        let end = Instant::now() + DEADLINE;
        while self.clients.len() < count {
            self.connect(address, request);
            while self.control.opened.load(SeqCst) + OPENING < self.clients.len() {
                assert!(Instant::now() < end, "the server answers nobody");
                self.hear(&mut events);
            }
        }
        while !self.control.ended.load(SeqCst) {
            self.hear(&mut events);
        }
        self.heard
    }

    fn connect(&mut self, address: SocketAddr, request: &str) {
        let number = self.clients.len();
        let own =
            Ipv4Addr::new(127, 0, 0, u8::try_from(2 + number / CLIENTS_AN_ADDRESS).expect("an address"));
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a file descriptor for a client");
        socket.set_reuse_address(true).expect("a socket");
        // Closed without a trace: thousands of ports that wait for late segments would be missing in the next round.
        socket.set_linger(Some(Duration::ZERO)).expect("a socket");
        socket.bind(&SocketAddr::from((own, 0)).into()).expect("a port");
        socket.connect(&address.into()).expect("a connection");
        let mut stream = std::net::TcpStream::from(socket);
        stream.write_all(request.as_bytes()).expect("a request that is taken");
        stream.set_nonblocking(true).expect("a socket");
        let mut stream = TcpStream::from_std(stream);
        self.poll.registry().register(&mut stream, Token(number), Interest::READABLE).expect("epoll");
        self.clients.push(Client { stream, rest: [0; MARK_BYTES], rest_bytes: 0, is_open: false });
    }

    fn hear(&mut self, events: &mut Events) {
        match self.poll.poll(events, Some(Duration::from_millis(20))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => panic!("epoll: {error}"),
            _ => {}
        }
        let since = self.control.since.load(SeqCst);
        for event in &*events {
            self.read(event.token().0, since);
        }
        self.control.heard.store(self.heard.latencies.0.len(), SeqCst);
    }

    /// Reads what there is. A read that did not fill the buffer has emptied the socket.
    fn read(&mut self, number: usize, since: u64) {
        loop {
            match self.clients[number].stream.read(&mut self.buffer[MARK_BYTES..]) {
                Ok(0) => {
                    self.heard.lost += 1;
                    return;
                }
                Ok(bytes) => {
                    self.scan(number, bytes, since);
                    if bytes < self.buffer.len() - MARK_BYTES {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("a client: {error}"),
            }
        }
    }

    fn scan(&mut self, number: usize, bytes: usize, since: u64) {
        let client = &mut self.clients[number];
        if client.is_open {
            self.heard.bytes += bytes as u64;
        } else {
            let head = &self.buffer[MARK_BYTES..][..bytes];
            assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(head));
            client.is_open = true;
            self.control.opened.fetch_add(1, SeqCst);
        }
        let rest = usize::from(client.rest_bytes);
        let (from, to) = (MARK_BYTES - rest, MARK_BYTES + bytes);
        self.buffer[from..MARK_BYTES].copy_from_slice(&client.rest[..rest]);
        let text = &self.buffer[from..to];
        let (mut done, time) = (0, now());
        while let Some(at) = self.finder.find(&text[done..]) {
            let Some(digits) = text.get(done + at + MARK.len()..done + at + MARK_BYTES) else { break };
            let due = digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
            done += at + MARK_BYTES;
            self.heard.messages += 1;
            if due >= since {
                self.heard.by_client[number] += 1;
                self.heard.latencies.0.push(u32::try_from(time.saturating_sub(due)).unwrap_or(u32::MAX));
            }
        }
        let rest = &text[done.max(text.len().saturating_sub(MARK_BYTES - 1))..];
        client.rest[..rest.len()].copy_from_slice(rest);
        client.rest_bytes = u8::try_from(rest.len()).expect("few");
    }
}
