//! TCP ports of this machine.

use std::{
    net::{TcpListener, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use crate::support::DEADLINE;

/// Waits until a local port accepts connections.
pub fn wait_for_port(port: u16) {
    let end = Instant::now() + DEADLINE;
    while TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_millis(200)).is_err() {
        assert!(Instant::now() < end, "nothing listens on {port}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Returns a port that is free for TCP and UDP. It is below the kernel's range for outgoing connections, which could
/// otherwise take it before the server binds it.
pub fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 10_000 + u16::try_from(std::process::id() % 200).unwrap() * 100;
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
        let port = if port >= 32_000 { port - 20_000 } else { port };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Returns the port of a URL.
pub fn port_of(url: &str) -> u16 {
    reqwest::Url::parse(url).unwrap().port().unwrap()
}
