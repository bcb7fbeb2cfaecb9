//! A TCP proxy in front of Redis that makes the faults which a real network makes: silence, delay, lost messages.
//!
//! It reads what Redis answers frame by frame (RESP, https://redis.io/docs/latest/develop/reference/protocol-spec/), so
//! that it can lose one published message and leave the connection whole.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// What is wrong with the network just now.
#[derive(Default)]
struct Faults {
    /// Nothing passes, in either direction; connections stay open.
    silent: AtomicBool,
    /// Nothing that Redis says on subscription connections passes.
    silent_feed: AtomicBool,
    /// How many of a hundred published messages are lost.
    loss: AtomicU32,
    /// By how many milliseconds everything that Redis says comes late.
    delay: AtomicU64,
    /// Commands that contain this wait.
    held: watch::Sender<Option<Vec<u8>>>,
    holding: AtomicUsize,
    /// Answers that say that a lease is lost.
    fenced: AtomicUsize,
    /// What becomes of commands that contain this.
    fate: Mutex<Option<(Vec<u8>, Fate)>>,
    met: AtomicUsize,
    messages: AtomicU64,
    lost: AtomicU64,
    connections: AtomicUsize,
}

/// What becomes of a command.
#[derive(Clone)]
pub enum Fate {
    /// Redis never sees it; this is the answer.
    Refused(String),
    /// Redis carries it out, and the connection breaks before the answer.
    Unanswered,
}

/// What is done about the commands of one connection, in their order, when they are answered.
type Fates = Arc<Mutex<VecDeque<Option<Fate>>>>;

pub struct Proxy {
    pub port: u16,
    faults: Arc<Faults>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    /// A proxy to a port of this machine.
    pub async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let faults = Arc::<Faults>::default();
        let wrong = faults.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                wrong.connections.fetch_add(1, Ordering::Relaxed);
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { continue };
                for socket in [&client, &server] {
                    socket.set_nodelay(true).unwrap();
                }
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                let fates = Fates::default();
                tokio::spawn(ask(from_client, to_server, wrong.clone(), fates.clone()));
                tokio::spawn(answer(from_server, to_client, wrong.clone(), fates));
            }
        });
        Self { port, faults, accepting }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Swallows everything, or stops doing so.
    pub fn be_silent(&self, silent: bool) {
        self.faults.silent.store(silent, Ordering::Relaxed);
    }

    /// Swallows what is published, probes included, and says nothing of it.
    pub fn silence_feed(&self, silent: bool) {
        self.faults.silent_feed.store(silent, Ordering::Relaxed);
    }

    /// Loses so many of a hundred published messages.
    pub fn lose(&self, percent: u32) {
        self.faults.loss.store(percent, Ordering::Relaxed);
    }

    /// Delays everything that Redis says.
    pub fn delay(&self, delay: Duration) {
        self.faults.delay.store(u64::try_from(delay.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// Holds back commands that contain this, until [`Self::release`].
    pub fn hold(&self, part: &str) {
        self.faults.held.send_replace(Some(part.as_bytes().to_vec()));
    }

    pub fn release(&self) {
        self.faults.held.send_replace(None);
    }

    /// How many commands have been held back.
    pub fn holding(&self) -> usize {
        self.faults.holding.load(Ordering::Relaxed)
    }

    /// Lets this happen to commands that contain a text, to others not; none for an end of it.
    pub fn treat(&self, fate: Option<(&str, Fate)>) {
        let fate = fate.map(|(part, fate)| (part.as_bytes().to_vec(), fate));
        *self.faults.fate.lock().unwrap() = fate;
    }

    /// To how many commands it has happened.
    pub fn treated(&self) -> usize {
        self.faults.met.load(Ordering::Relaxed)
    }

    /// How many answers said that a lease is lost.
    pub fn fenced(&self) -> usize {
        self.faults.fenced.load(Ordering::Relaxed)
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.faults.connections.load(Ordering::Relaxed)
    }

    /// How many published messages were swallowed or lost.
    pub fn lost(&self) -> u64 {
        self.faults.lost.load(Ordering::Relaxed)
    }
}

async fn ask(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, faults: Arc<Faults>, fates: Fates) {
    let mut buffer = Vec::new();
    while let Ok(1..) = from.read_buf(&mut buffer).await {
        while let Some(length) = frame(&buffer) {
            let command: Vec<_> = buffer.drain(..length).collect();
            let mut held = faults.held.subscribe();
            let is_held = |part: &Option<Vec<u8>>| part.as_ref().is_some_and(|part| contains(&command, part));
            if is_held(&held.borrow_and_update()) {
                faults.holding.fetch_add(1, Ordering::Relaxed);
                let _released = held.wait_for(|part| !is_held(part)).await;
            }
            if faults.silent.load(Ordering::Relaxed) {
                continue;
            }
            let fate = faults.fate_of(&command);
            let refused = matches!(fate, Some(Fate::Refused(_)));
            fates.lock().unwrap().push_back(fate);
            // In its place, so that answers stay in the order of the commands.
            let sent: &[u8] = if refused { b"*1\r\n$4\r\nPING\r\n" } else { &command };
            if to.write_all(sent).await.is_err() {
                return;
            }
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

async fn answer(mut from: OwnedReadHalf, to: OwnedWriteHalf, faults: Arc<Faults>, fates: Fates) {
    let (late, queue) = mpsc::unbounded_channel();
    tokio::spawn(write(to, queue));
    let (mut buffer, mut is_feed) = (Vec::new(), false);
    while let Ok(1..) = from.read_buf(&mut buffer).await {
        let mut start = 0;
        let mut passed = Vec::new();
        while let Some(length) = frame(&buffer[start..]) {
            let one = &buffer[start..start + length];
            start += length;
            is_feed |= one.starts_with(b"*3\r\n$9\r\nsubscribe\r\n");
            // On a subscription connection not every frame answers a command.
            match fates.lock().unwrap().pop_front().flatten().filter(|_| !is_feed) {
                Some(Fate::Refused(words)) => {
                    passed.extend_from_slice(format!("-{words}\r\n").as_bytes());
                    continue;
                }
                Some(Fate::Unanswered) => return,
                None => {}
            }
            if faults.passes(one, is_feed) {
                passed.extend_from_slice(one);
            }
        }
        buffer.drain(..start);
        let at = Instant::now() + Duration::from_millis(faults.delay.load(Ordering::Relaxed));
        if !passed.is_empty() && late.send((at, passed)).is_err() {
            return;
        }
    }
}

async fn write(mut to: OwnedWriteHalf, mut queue: mpsc::UnboundedReceiver<(Instant, Vec<u8>)>) {
    while let Some((at, bytes)) = queue.recv().await {
        sleep_until(at).await;
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

impl Faults {
    fn fate_of(&self, command: &[u8]) -> Option<Fate> {
        let fate = self.fate.lock().unwrap();
        let (_, fate) = fate.as_ref().filter(|(part, _)| contains(command, part))?;
        self.met.fetch_add(1, Ordering::Relaxed);
        Some(fate.clone())
    }

    fn passes(&self, frame: &[u8], is_feed: bool) -> bool {
        if self.silent.load(Ordering::Relaxed) {
            return false;
        }
        let fenced = frame == b"*1\r\n$6\r\nfenced\r\n";
        self.fenced.fetch_add(usize::from(fenced), Ordering::Relaxed);
        let is_message = frame.starts_with(b"*3\r\n$7\r\nmessage\r\n");
        let mut lost = is_feed && self.silent_feed.load(Ordering::Relaxed);
        if is_message {
            // A multiplicative step through 0..100 spreads the losses and does not follow any order of the messages.
            let number = self.messages.fetch_add(1, Ordering::Relaxed);
            lost |= (number.wrapping_mul(2_654_435_761) >> 7) % 100
                < u64::from(self.loss.load(Ordering::Relaxed));
            self.lost.fetch_add(u64::from(lost), Ordering::Relaxed);
        }
        !lost
    }
}

/// The length of the frame at the start, once it is all there.
fn frame(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let number = || std::str::from_utf8(&bytes[1..end - 2]).ok()?.parse::<i64>().ok();
    match bytes[0] {
        b'$' => match usize::try_from(number()?) {
            Ok(length) => Some(end + length + 2).filter(|end| *end <= bytes.len()),
            Err(_) => Some(end),
        },
        b'*' => (0..number()?.max(0)).try_fold(end, |end, _| Some(end + frame(&bytes[end..])?)),
        _ => Some(end),
    }
}
