//! Write loop: a process that only writes the same bytes to all sockets. No server can need less CPU time.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdin, Command, Stdio},
};

use super::{sse_clients::MARKER, statistics::sleep_until};

/// The argument with which this program runs as the write loop.
pub const ROLE: &str = "--write-loop";

/// Returns a message of exactly `bytes` bytes that is due at `due`, as an HTTP chunk.
fn message(bytes: usize, due: u64) -> Vec<u8> {
    let head = format!("{bytes:x}\r\ndata: {{\"name\":{MARKER}{due:016}\",\"pad\":\"");
    let mut message = head.into_bytes();
    message.resize(bytes.saturating_sub(6), b'x');
    message.extend_from_slice(b"\"}\n\n\r\n");
    message
}

/// Runs the write loop: accepts `clients` connections, and sends `count` messages for each line `first period count
/// bytes` on standard input.
pub fn run(clients: usize) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    println!("{}", listener.local_addr().expect("an address").port());
    let mut streams: Vec<_> = (0..clients).map(|_| answer(listener.accept().expect("a client").0)).collect();
    for line in std::io::stdin().lines() {
        let line = line.expect("a line");
        let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().expect("a number")).collect();
        let &[first, period, count, bytes] = &numbers[..] else { panic!("{line}") };
        for n in 0..count {
            let due = first + n * period;
            sleep_until(due);
            let message = message(usize::try_from(bytes).expect("a size"), due);
            streams.iter_mut().for_each(|stream| write(stream, &message));
        }
    }
}

/// Answers the request on a new connection.
fn answer(mut stream: TcpStream) -> TcpStream {
    stream.set_nodelay(true).expect("a socket");
    let read = stream.read(&mut [0; 1_024]).expect("a request");
    assert!(read > 0, "a client sent no request");
    stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").expect("a client");
    stream.set_nonblocking(true).expect("a socket");
    stream
}

fn write(stream: &mut TcpStream, message: &[u8]) {
    match stream.write(message) {
        Ok(written) => assert_eq!(written, message.len(), "a client does not keep up"),
        Err(error) if error.kind() == ErrorKind::Interrupted => write(stream, message),
        Err(error) => panic!("a client: {error}"),
    }
}

/// Handle to the write loop's process. Dropping it kills the process.
pub struct WriteLoop {
    child: Child,
    commands: ChildStdin,
    pub address: SocketAddr,
}

impl Drop for WriteLoop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl WriteLoop {
    /// Starts the process for `clients` clients.
    pub fn start(clients: usize) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args([ROLE, &clients.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program");
        let (commands, mut port) = (child.stdin.take().expect("a pipe"), Vec::new());
        let mut output = child.stdout.take().expect("a pipe");
        while port.last() != Some(&b'\n') {
            let mut byte = [0];
            output.read_exact(&mut byte).expect("a port");
            port.extend(byte);
        }
        let port: u16 = String::from_utf8(port).expect("text").trim().parse().expect("a port");
        Self { child, commands, address: ([127, 0, 0, 1], port).into() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends `count` messages, the first at `first` and one every `period` microseconds.
    pub fn send(&mut self, first: u64, period: u64, count: u64, bytes: usize) {
        writeln!(self.commands, "{first} {period} {count} {bytes}").expect("the writer");
    }
}
