//! The floor: a loop that writes the same bytes to as many sockets, and does nothing else. It is a process of its own.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdin, Command, Stdio},
};

use super::{audience::MARK, figures::sleep_until};

/// The argument that makes a writer of this program.
pub const ROLE: &str = "--floor";

/// A message of exactly so many bytes, due at this time; in the form of a chunk, as HTTP sends what has no end.
fn message(bytes: usize, due: u64) -> Vec<u8> {
    let head = format!("{bytes:x}\r\ndata: {{\"name\":{MARK}{due:016}\",\"pad\":\"");
    let mut message = head.into_bytes();
    message.resize(bytes.saturating_sub(6), b'x');
    message.extend_from_slice(b"\"}\n\n\r\n");
    message
}

/// The writer: takes `clients` connections, then for every line `first period count bytes` from its parent writes so many
/// messages.
pub fn write(clients: usize) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    println!("{}", listener.local_addr().expect("an address").port());
    let mut streams: Vec<_> =
        (0..clients).map(|_| answered(listener.accept().expect("a client").0)).collect();
    for line in std::io::stdin().lines() {
        let line = line.expect("a line");
        let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().expect("a number")).collect();
        let &[first, period, count, bytes] = &numbers[..] else { panic!("{line}") };
        for n in 0..count {
            let due = first + n * period;
            sleep_until(due);
            let message = message(usize::try_from(bytes).expect("a size"), due);
            streams.iter_mut().for_each(|stream| put(stream, &message));
        }
    }
}

/// Answers the request on a new connection.
fn answered(mut stream: TcpStream) -> TcpStream {
    stream.set_nodelay(true).expect("a socket");
    let read = stream.read(&mut [0; 1_024]).expect("a request");
    assert!(read > 0, "a client that asks nothing");
    stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").expect("a client");
    stream.set_nonblocking(true).expect("a socket");
    stream
}

fn put(stream: &mut TcpStream, message: &[u8]) {
    match stream.write(message) {
        Ok(written) => assert_eq!(written, message.len(), "a client does not keep up"),
        Err(error) if error.kind() == ErrorKind::Interrupted => put(stream, message),
        Err(error) => panic!("a client: {error}"),
    }
}

/// The writer, as its parent sees it.
pub struct Floor {
    child: Child,
    orders: ChildStdin,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Floor {
    /// Starts one for so many clients.
    pub fn start(clients: usize) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args([ROLE, &clients.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program");
        let (orders, mut port) = (child.stdin.take().expect("a pipe"), Vec::new());
        let mut said = child.stdout.take().expect("a pipe");
        while port.last() != Some(&b'\n') {
            let mut byte = [0];
            said.read_exact(&mut byte).expect("a port");
            port.extend(byte);
        }
        let port: u16 = String::from_utf8(port).expect("text").trim().parse().expect("a port");
        Self { child, orders, address: ([127, 0, 0, 1], port).into() }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has it write so many messages, the first at this time, and one every `period` microseconds.
    pub fn order(&mut self, first: u64, period: u64, count: u64, bytes: usize) {
        writeln!(self.orders, "{first} {period} {count} {bytes}").expect("the writer");
    }
}
