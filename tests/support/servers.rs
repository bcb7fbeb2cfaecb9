//! Real servers as children of the test process. They end with their handle, and with the process however it ends.

use std::{
    fs::File,
    io::Write,
    net::{TcpListener, TcpStream, UdpSocket},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use super::DEADLINE;

/// A child that ends when this is dropped.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }

    /// Asks it to end, and waits until it has.
    pub fn terminate(&mut self) {
        let pid = self.pid().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.0.wait();
    }

    /// Ends it at once, as a crash would.
    pub fn kill(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program that ends with the test.
pub fn start(program: &str, args: &[&str]) -> Running {
    start_with(program, args, &[])
}

pub fn start_with(program: &str, args: &[&str], environment: &[(String, String)]) -> Running {
    let mut command = command("KILL", program, args);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    run_on(program, command.stdout(Stdio::null()))
}

/// As [`start_with`]; what it prints goes to a file.
pub fn start_logged(program: &str, environment: &[(String, String)], log: &File) -> Running {
    let mut command = command("KILL", program, &[]);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdout(log.try_clone().unwrap()).stderr(log.try_clone().unwrap());
    let child = command.stdin(Stdio::null()).spawn();
    Running(child.unwrap_or_else(|error| panic!("{program} cannot be started: {error}")))
}

/// As [`start`], for a program with children of its own, which it ends when it is asked to end. What it prints goes to a
/// file.
pub fn start_family(program: &str, args: &[&str], log: &File) -> Running {
    run_on(program, command("TERM", program, args).stdout(log.try_clone().unwrap()))
}

/// `setpriv --pdeathsig` has the kernel send the child this signal when the thread that started it ends.
fn command(signal: &str, program: &str, args: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal, "--", program]).args(args);
    command
}

fn run_on(program: &str, command: &mut Command) -> Running {
    let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
    Running(child.unwrap_or_else(|error| panic!("{program} cannot be started: {error}")))
}

pub fn wait_for_port(port: u16) {
    let end = Instant::now() + DEADLINE;
    while TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_millis(200)).is_err() {
        assert!(Instant::now() < end, "nothing listens on {port}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A TCP port that was free a moment ago, from below the range that the kernel gives to outgoing connections, so that
/// none of those takes it meanwhile.
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

/// The program: Redis, or another server that is to be tried in its place.
pub fn redis_server() -> String {
    std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned())
}

/// The port in the URL of a server of this machine.
pub fn port_of(url: &str) -> u16 {
    reqwest::Url::parse(url).unwrap().port().unwrap()
}

/// A Redis of one's own.
pub struct Redis {
    pub port: u16,
    /// Where it keeps its append-only file, if it does.
    folder: Option<PathBuf>,
    /// Settings of its own.
    settings: Vec<String>,
    running: Option<Running>,
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.running.take();
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

impl Redis {
    /// One that forgets everything when it ends.
    pub fn start() -> Self {
        Self::start_in(None, &[])
    }

    /// One that keeps what it has acknowledged, whenever it is killed. (With `everysec` it may answer before it has given the
    /// change to the kernel, while an fsync is still going on.)
    pub fn durable() -> Self {
        Self::start_in(Some(folder()), &["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// One with settings and a folder of its own.
    pub fn with(settings: &[&str]) -> Self {
        Self::start_in(Some(folder()), settings)
    }

    /// One that speaks TLS only, and perhaps wants to know who asks.
    pub fn over_tls(certificates: &super::certificates::Certificates, asks: bool) -> Self {
        let port = free_port();
        let [certificate, key, ca] =
            ["server.pem", "server.key", "ca.pem"].map(|name| certificates.path(name));
        let args = [
            ["--port", "0"],
            ["--tls-port", &port.to_string()],
            ["--bind", "127.0.0.1"],
            ["--save", ""],
            ["--tls-cert-file", &certificate],
            ["--tls-key-file", &key],
            ["--tls-ca-cert-file", &ca],
            ["--tls-auth-clients", if asks { "yes" } else { "no" }],
        ];
        let running = Some(start(&redis_server(), &args.concat()));
        wait_for_port(port);
        Self { port, folder: None, settings: Vec::new(), running }
    }

    pub fn tls_url(&self) -> String {
        format!("rediss://127.0.0.1:{}/0", self.port)
    }

    fn start_in(folder: Option<PathBuf>, settings: &[&str]) -> Self {
        let settings = settings.iter().map(|word| (*word).to_owned()).collect();
        let mut redis = Self { port: free_port(), folder, settings, running: None };
        redis.start_again();
        redis
    }

    pub fn start_again(&mut self) {
        let port = self.port.to_string();
        let folder = self.folder.as_ref().map(|folder| folder.to_string_lossy().into_owned());
        let mut args = vec!["--port", &port, "--bind", "127.0.0.1", "--save", ""];
        if let Some(folder) = &folder {
            args.extend(["--dir", folder]);
        }
        args.extend(self.settings.iter().map(String::as_str));
        self.running = Some(start(&redis_server(), &args));
        wait_for_port(self.port);
    }

    /// Changes the settings for the next start.
    pub fn set(&mut self, settings: &[&str]) {
        self.settings = settings.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Tells it something, on a connection of its own.
    pub async fn tell(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await?;
        let (name, args) = words.split_first().unwrap();
        redis::cmd(name).arg(args).query_async(&mut connection).await
    }

    /// A field of what INFO says.
    pub async fn info(&self, field: &str) -> Option<String> {
        let text: String = redis::from_redis_value(self.tell(&["INFO"]).await.ok()?).ok()?;
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.map(|value| value.trim().to_owned())
    }

    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("it runs").pid()
    }

    /// Ends it at once. Without an append-only file, with everything it holds.
    pub fn kill(&mut self) {
        self.running.take().expect("it runs").kill();
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }
}

fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(super::unique("redis"));
    std::fs::create_dir(&folder).unwrap();
    folder
}

/// Starts something once in this process, from a thread that lasts as long as the process does.
fn once<T: Send + 'static>(make: impl FnOnce() -> (T, Running) + Send + 'static) -> T {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (value, running) = make();
        sender.send(value).unwrap();
        let _running = running;
        loop {
            std::thread::park();
        }
    });
    receiver.recv().unwrap()
}

/// The Redis that tests share who do nothing to it.
pub fn shared_redis() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        once(|| {
            let mut redis = Redis::start();
            (redis.url(), redis.running.take().unwrap())
        })
    })
}

/// A LiveKit server of one's own.
pub struct LiveKit {
    pub port: u16,
    config: String,
    running: Option<Running>,
}

/// Its API key and secret.
pub const KEY: &str = "devkey";
pub const SECRET: &str = "secret";

fn livekit_binary() -> String {
    let cache = || {
        let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let base = base.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
        base.join("livestream-orchestrator/livekit-server-v1.13.5").to_string_lossy().into_owned()
    };
    std::env::var("LIVEKIT_SERVER").unwrap_or_else(|_| cache())
}

impl LiveKit {
    /// A server that posts its webhooks to `webhook_url`, if there is one.
    pub fn start(webhook_url: Option<&str>) -> Self {
        let (port, tcp, udp) = (free_port(), free_port(), free_port());
        let urls = webhook_url.map(|url| format!("\"{url}\"")).unwrap_or_default();
        let config = format!(
            "port: {port}\nbind_addresses: [127.0.0.1]\nkeys: {{{KEY}: {SECRET}}}\n\
             rtc: {{tcp_port: {tcp}, udp_port: {udp}, use_external_ip: false, node_ip: 127.0.0.1, \
             enable_loopback_candidate: true}}\nwebhook: {{api_key: {KEY}, urls: [{urls}]}}\n"
        );
        let mut livekit = Self { port, config, running: None };
        livekit.start_again();
        livekit
    }

    /// One with the same key and another secret: it refuses every token.
    pub fn strange() -> Self {
        let mut livekit = Self::start(None);
        livekit.kill();
        livekit.config = livekit.config.replace(&format!("{KEY}: {SECRET}"), &format!("{KEY}: not-{SECRET}"));
        livekit.start_again();
        livekit
    }

    pub fn start_again(&mut self) {
        self.running = Some(start(&livekit_binary(), &["--dev", "--config-body", &self.config]));
        wait_for_port(self.port);
    }

    pub fn kill(&mut self) {
        self.running.take().expect("it runs").kill();
    }

    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }
}

/// The LiveKit server that tests share who do nothing to it and want no webhooks.
pub fn shared_livekit() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        once(|| {
            let mut livekit = LiveKit::start(None);
            (livekit.url(), livekit.running.take().unwrap())
        })
    })
}

/// Runs a program to its end and gives what it printed; fails with its errors.
pub fn run(program: &str, args: &[&str], input: &str) -> String {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
