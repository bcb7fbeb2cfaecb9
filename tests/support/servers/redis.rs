//! Redis servers.

use std::{path::PathBuf, sync::OnceLock};

use super::{
    ports::{free_port, wait_for_port},
    process::{ChildProcess, keep_until_exit, run, start, start_with},
};
use crate::support::{certificates::Certificates, unique};

/// Returns the server program: `redis-server`, or the value of `REDIS_SERVER`.
pub fn redis_server() -> String {
    std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned())
}

/// A Redis server.
pub struct Redis {
    pub port: u16,
    /// Folder of its files, which is deleted on drop.
    folder: Option<PathBuf>,
    /// Additional command line arguments.
    settings: Vec<String>,
    environment: Vec<(String, String)>,
    running: Option<ChildProcess>,
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
    /// Starts a server without persistence.
    pub fn start() -> Self {
        Self::start_in(None, &[])
    }

    /// Starts a server that loses no acknowledged write when it is killed. `appendfsync everysec` would not suffice:
    /// during an fsync Redis may reply before it has written the change.
    pub fn start_durable() -> Self {
        Self::start_in(Some(folder()), &["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// Starts a server with these arguments and a folder.
    pub fn start_with(settings: &[&str]) -> Self {
        Self::start_in(Some(folder()), settings)
    }

    /// Starts a server without persistence whose clock is ahead by whole seconds.
    pub fn start_ahead(seconds: u32) -> Self {
        let folder = folder();
        let library = folder.join("clock.so").to_string_lossy().into_owned();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/servers/clock_ahead.c");
        run("cc", &["-O2", "-shared", "-fPIC", "-o", &library, source], "");
        let environment = [("LD_PRELOAD", library), ("CLOCK_AHEAD", seconds.to_string())];
        let mut redis = Self::stopped(Some(folder), &[]);
        redis.environment = environment.map(|(name, value)| (name.to_owned(), value)).into();
        redis.restart();
        redis
    }

    /// Starts a server that accepts TLS only, and requires client certificates if `verifies_clients` is set.
    pub fn start_tls(certificates: &Certificates, verifies_clients: bool) -> Self {
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
            ["--tls-auth-clients", if verifies_clients { "yes" } else { "no" }],
        ];
        let running = Some(start(&redis_server(), &args.concat()));
        wait_for_port(port);
        Self { port, folder: None, settings: Vec::new(), environment: Vec::new(), running }
    }

    pub fn tls_url(&self) -> String {
        format!("rediss://127.0.0.1:{}/0", self.port)
    }

    fn start_in(folder: Option<PathBuf>, settings: &[&str]) -> Self {
        let mut redis = Self::stopped(folder, settings);
        redis.restart();
        redis
    }

    fn stopped(folder: Option<PathBuf>, settings: &[&str]) -> Self {
        let settings = settings.iter().map(|word| (*word).to_owned()).collect();
        Self { port: free_port(), folder, settings, environment: Vec::new(), running: None }
    }

    /// Starts the server with its present arguments, after [`Self::kill`].
    pub fn restart(&mut self) {
        let port = self.port.to_string();
        let folder = self.folder.as_ref().map(|folder| folder.to_string_lossy().into_owned());
        let mut args = vec!["--port", &port, "--bind", "127.0.0.1", "--save", ""];
        if let Some(folder) = &folder {
            args.extend(["--dir", folder]);
        }
        args.extend(self.settings.iter().map(String::as_str));
        self.running = Some(start_with(&redis_server(), &args, &self.environment));
        wait_for_port(self.port);
    }

    /// Changes the arguments for the next start.
    pub fn set_arguments(&mut self, settings: &[&str]) {
        self.settings = settings.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Executes a command on a new connection.
    pub async fn execute(&self, command: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await?;
        let (name, args) = command.split_first().unwrap();
        redis::cmd(name).arg(args).query_async(&mut connection).await
    }

    /// Value of a field of INFO.
    pub async fn info(&self, field: &str) -> Option<String> {
        let text: String = redis::from_redis_value(self.execute(&["INFO"]).await.ok()?).ok()?;
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.map(|value| value.trim().to_owned())
    }

    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("the server runs").pid()
    }

    /// Kills the server. Without an append-only file, its data are lost.
    pub fn kill(&mut self) {
        self.running.take().expect("the server runs").kill();
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }
}

fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(unique("redis"));
    std::fs::create_dir(&folder).unwrap();
    folder
}

/// URL of a Redis that tests share. They must not stop or configure it.
pub fn shared_redis() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        keep_until_exit(|| {
            let mut redis = Redis::start();
            (redis.url(), redis.running.take().unwrap())
        })
    })
}
