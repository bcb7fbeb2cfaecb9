//! A TCP proxy in front of Redis or LiveKit that simulates network faults: silence, delay, lost messages and replies.
//!
//! It parses the frames of both directions (RESP, https://redis.io/docs/latest/develop/reference/protocol-spec/), so it
//! can drop one published message and keep the connection open.

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

use super::resp::Protocol;

/// Faults that are active, and counters.
#[derive(Default)]
struct Faults {
    /// Drops all bytes of both directions; connections stay open.
    drops_all: AtomicBool,
    /// Drops everything that Redis sends on subscription connections.
    drops_subscriptions: AtomicBool,
    /// Drops messages that contain these bytes.
    silenced_messages: Mutex<Option<Vec<u8>>>,
    /// Percentage of published messages that are dropped.
    message_loss: AtomicU32,
    /// Delay of everything that the server sends, in milliseconds.
    delay: AtomicU64,
    /// Holds back commands that contain these bytes.
    held: watch::Sender<Option<Vec<u8>>>,
    held_count: AtomicUsize,
    /// Number of replies `lease_lost`, which a change gets whose caller has lost its lease.
    lease_lost_count: AtomicUsize,
    /// Fault of commands that contain these bytes.
    command_fault: Mutex<Option<(Vec<u8>, CommandFault)>>,
    faulted_count: AtomicUsize,
    messages: AtomicU64,
    dropped_messages: AtomicU64,
    connections: AtomicUsize,
}

/// Fault of a command.
#[derive(Clone)]
pub enum CommandFault {
    /// The command is not sent to Redis; this error is the reply.
    ErrorReply(String),
    /// Redis executes the command; the connection closes before the reply.
    LostReply,
    /// Redis executes the command; its reply, and the later ones of the connection, arrive after this time.
    Delay(Duration),
}

/// Faults of the commands of one connection whose replies are pending, in their order.
type PendingFaults = Arc<Mutex<VecDeque<Option<CommandFault>>>>;

pub struct FaultProxy {
    pub port: u16,
    faults: Arc<Faults>,
    accepting: JoinHandle<()>,
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl FaultProxy {
    /// Starts a proxy to a local port.
    pub async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let faults = Arc::<Faults>::default();
        let active = faults.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                active.connections.fetch_add(1, Ordering::Relaxed);
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { continue };
                for socket in [&client, &server] {
                    socket.set_nodelay(true).unwrap();
                }
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                let pending = PendingFaults::default();
                tokio::spawn(forward_requests(from_client, to_server, active.clone(), pending.clone()));
                tokio::spawn(forward_replies(from_server, to_client, active.clone(), pending));
            }
        });
        Self { port, faults, accepting }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Drops all bytes, or stops doing so.
    pub fn drop_all(&self, drops: bool) {
        self.faults.drops_all.store(drops, Ordering::Relaxed);
    }

    /// Drops everything on subscription connections, probe messages included, or stops doing so.
    pub fn silence_subscriptions(&self, silent: bool) {
        self.faults.drops_subscriptions.store(silent, Ordering::Relaxed);
    }

    /// Drops published messages that contain this text, such as the name of a channel, or stops doing so.
    pub fn silence_messages(&self, part: Option<&str>) {
        *self.faults.silenced_messages.lock().unwrap() = part.map(|part| part.as_bytes().to_vec());
    }

    /// Drops this percentage of published messages.
    pub fn drop_messages(&self, percent: u32) {
        self.faults.message_loss.store(percent, Ordering::Relaxed);
    }

    /// Delays everything that the server sends.
    pub fn delay(&self, delay: Duration) {
        self.faults.delay.store(u64::try_from(delay.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// Holds back requests that contain this text, until [`Self::release`].
    pub fn hold(&self, part: &str) {
        self.faults.held.send_replace(Some(part.as_bytes().to_vec()));
    }

    pub fn release(&self) {
        self.faults.held.send_replace(None);
    }

    /// Number of requests that were held back.
    pub fn held_count(&self) -> usize {
        self.faults.held_count.load(Ordering::Relaxed)
    }

    /// Applies a fault to commands that contain a text; `None` ends it.
    pub fn fault_commands(&self, fault: Option<(&str, CommandFault)>) {
        let fault = fault.map(|(part, fault)| (part.as_bytes().to_vec(), fault));
        *self.faults.command_fault.lock().unwrap() = fault;
    }

    /// Number of commands that had the fault.
    pub fn faulted_count(&self) -> usize {
        self.faults.faulted_count.load(Ordering::Relaxed)
    }

    /// Number of replies that reported a lost lease.
    pub fn lease_lost_count(&self) -> usize {
        self.faults.lease_lost_count.load(Ordering::Relaxed)
    }

    /// Number of connections until now.
    pub fn connection_count(&self) -> usize {
        self.faults.connections.load(Ordering::Relaxed)
    }

    /// Number of dropped published messages.
    pub fn dropped_messages(&self) -> u64 {
        self.faults.dropped_messages.load(Ordering::Relaxed)
    }
}

/// Forwards requests from a client to the server.
async fn forward_requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    faults: Arc<Faults>,
    pending: PendingFaults,
) {
    let (mut buffer, mut protocol) = (Vec::new(), None);
    while let Ok(1..) = from.read_buf(&mut buffer).await {
        let protocol = *protocol.get_or_insert_with(|| Protocol::of(&buffer));
        while let Some(length) = protocol.frame_length(&buffer) {
            let command: Vec<_> = buffer.drain(..length).collect();
            let mut held = faults.held.subscribe();
            let is_held = |part: &Option<Vec<u8>>| part.as_ref().is_some_and(|part| contains(&command, part));
            if is_held(&held.borrow_and_update()) {
                faults.held_count.fetch_add(1, Ordering::Relaxed);
                let _released = held.wait_for(|part| !is_held(part)).await;
            }
            if faults.drops_all.load(Ordering::Relaxed) {
                continue;
            }
            let fault = faults.fault_of(&command);
            let is_replaced = matches!(fault, Some(CommandFault::ErrorReply(_)));
            pending.lock().unwrap().push_back(fault);
            // PING is sent instead, because replies come in the order of the commands.
            let sent: &[u8] = if is_replaced { b"*1\r\n$4\r\nPING\r\n" } else { &command };
            if to.write_all(sent).await.is_err() {
                return;
            }
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Forwards replies and messages from the server to a client.
async fn forward_replies(
    mut from: OwnedReadHalf,
    to: OwnedWriteHalf,
    faults: Arc<Faults>,
    pending: PendingFaults,
) {
    let (delayed, queue) = mpsc::unbounded_channel();
    tokio::spawn(write_delayed(to, queue));
    let (mut buffer, mut is_feed, mut protocol) = (Vec::new(), false, None);
    while let Ok(1..) = from.read_buf(&mut buffer).await {
        let protocol = *protocol.get_or_insert_with(|| Protocol::of(&buffer));
        let (mut start, mut slow) = (0, Duration::ZERO);
        let mut passed = Vec::new();
        while let Some(length) = protocol.frame_length(&buffer[start..]) {
            let one = &buffer[start..start + length];
            start += length;
            is_feed |= one.starts_with(b">3\r\n$10\r\nssubscribe\r\n");
            // On a subscription connection not every frame is a reply to a command.
            match pending.lock().unwrap().pop_front().flatten().filter(|_| !is_feed) {
                Some(CommandFault::ErrorReply(error)) => {
                    passed.extend_from_slice(format!("-{error}\r\n").as_bytes());
                    continue;
                }
                Some(CommandFault::LostReply) => return,
                Some(CommandFault::Delay(time)) => slow = slow.max(time),
                None => {}
            }
            if faults.passes(one, is_feed) {
                passed.extend_from_slice(one);
            }
        }
        buffer.drain(..start);
        let at = Instant::now() + Duration::from_millis(faults.delay.load(Ordering::Relaxed)) + slow;
        if !passed.is_empty() && delayed.send((at, passed)).is_err() {
            return;
        }
    }
}

async fn write_delayed(mut to: OwnedWriteHalf, mut queue: mpsc::UnboundedReceiver<(Instant, Vec<u8>)>) {
    while let Some((at, bytes)) = queue.recv().await {
        sleep_until(at).await;
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

impl Faults {
    fn fault_of(&self, command: &[u8]) -> Option<CommandFault> {
        let fault = self.command_fault.lock().unwrap();
        let (_, fault) = fault.as_ref().filter(|(part, _)| contains(command, part))?;
        self.faulted_count.fetch_add(1, Ordering::Relaxed);
        Some(fault.clone())
    }

    fn passes(&self, frame: &[u8], is_feed: bool) -> bool {
        if self.drops_all.load(Ordering::Relaxed) {
            return false;
        }
        let is_lease_lost = frame == b"*1\r\n$10\r\nlease_lost\r\n";
        self.lease_lost_count.fetch_add(usize::from(is_lease_lost), Ordering::Relaxed);
        let is_message = frame.starts_with(b">3\r\n$8\r\nsmessage\r\n");
        let mut lost = is_feed && self.drops_subscriptions.load(Ordering::Relaxed);
        if is_message {
            let silenced = self.silenced_messages.lock().unwrap();
            lost |= silenced.as_ref().is_some_and(|part| contains(frame, part));
            // A multiplicative hash spreads the losses independently of the order of the messages.
            let number = self.messages.fetch_add(1, Ordering::Relaxed);
            lost |= (number.wrapping_mul(2_654_435_761) >> 7) % 100
                < u64::from(self.message_loss.load(Ordering::Relaxed));
            self.dropped_messages.fetch_add(u64::from(lost), Ordering::Relaxed);
        }
        !lost
    }
}
