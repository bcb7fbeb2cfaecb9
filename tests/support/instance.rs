//! An instance as a process of its own, to be killed for real.

use std::{fs::File, path::PathBuf, process::Command};

use super::{
    eventually,
    follower::Address,
    servers::{KEY, Running, SECRET, free_port, start_logged, start_with},
};

/// The binary, on ports that stay the same when it is started again.
pub struct Instance {
    http: u16,
    grpc: u16,
    settings: Vec<(String, String)>,
    /// Where what it prints goes, if anybody wants to read it.
    log: Option<PathBuf>,
    /// Where it goes instead, for a test that reads it itself.
    output: Option<File>,
    running: Option<Running>,
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(log) = &self.log {
            let _ = std::fs::remove_file(log);
        }
    }
}

impl Instance {
    /// Prepares one; it does not run yet.
    pub fn new(redis: &str, livekit: &str, prefix: &str) -> Self {
        super::choose_crypto();
        let (http, grpc) = (free_port(), free_port());
        let settings = [
            ("REDIS_URL", redis),
            ("REDIS_PREFIX", prefix),
            ("LIVEKIT_URL", livekit),
            ("LIVEKIT_API_KEY", KEY),
            ("LIVEKIT_API_SECRET", SECRET),
            ("HOST", "127.0.0.1"),
            ("PORT", &http.to_string()),
            ("GRPC_PORT", &grpc.to_string()),
            ("DRAIN_TIMEOUT", "10s"),
            ("RUST_LOG", "warn,livestream_orchestrator=info"),
            ("AUTH", "off"),
            ("RATE_LIMIT_READ", "off"),
            ("RATE_LIMIT_WRITE", "off"),
            ("RATE_LIMIT_JOIN", "off"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { http, grpc, settings: settings.into(), log: None, output: None, running: None }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Keeps what it logs, as lines of JSON.
    pub fn logged(mut self) -> Self {
        self.log = Some(std::env::temp_dir().join(super::unique("log")));
        self.with("LOG_FORMAT", "json")
    }

    /// Has it log to this file or pipe, as lines of JSON.
    pub fn logging_to(mut self, output: impl Into<std::os::fd::OwnedFd>) -> Self {
        self.output = Some(File::from(output.into()));
        self.with("LOG_FORMAT", "json")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.as_ref().expect("it is logged")).unwrap()
    }

    /// Starts it and waits until it listens.
    pub async fn start_unready(&mut self) {
        let binary = env!("CARGO_BIN_EXE_livestream-orchestrator");
        self.running = Some(match (&self.output, &self.log) {
            (Some(output), _) => start_logged(binary, &self.settings, output),
            (None, Some(log)) => start_logged(binary, &self.settings, &File::create(log).unwrap()),
            (None, None) => match super::kept_logs("instance") {
                Some(log) => start_logged(binary, &self.settings, &log),
                None => start_with(binary, &[], &self.settings),
            },
        });
        let address = ("127.0.0.1", self.http);
        eventually("a listener", || async {
            tokio::net::TcpStream::connect(address).await.is_ok().then_some(())
        })
        .await;
    }

    /// Starts it and waits until it is ready.
    pub async fn start(&mut self) {
        self.start_unready().await;
        let ready = format!("http://127.0.0.1:{}/health/ready", self.http);
        eventually("readiness", || async {
            reqwest::get(&ready).await.ok()?.status().is_success().then_some(())
        })
        .await;
    }

    /// Runs one of the binary's commands with the same settings, to its end; gives its exit code and what it printed.
    pub async fn command(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_livestream-orchestrator"));
        command.args(args).envs(self.settings.iter().map(|(name, value)| (name, value))).kill_on_drop(true);
        let output = super::within("a command", command.output()).await.unwrap();
        let printed = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(printed).unwrap())
    }

    pub fn address(&self) -> Address {
        Address {
            http: format!("http://127.0.0.1:{}", self.http),
            grpc: format!("http://127.0.0.1:{}", self.grpc),
        }
    }

    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("it runs").pid()
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        self.running.take().expect("it runs").kill();
    }

    /// Asks it to end, and waits until it has.
    pub async fn terminate(&mut self) {
        signal(self.pid(), "TERM");
        self.ended().await;
    }

    /// Waits until it has ended, with success.
    pub async fn ended(&mut self) {
        let mut running = self.running.take().expect("it runs");
        let ended = eventually("the end of an instance", || {
            let ended = running.ended();
            async move { ended }
        })
        .await;
        assert!(ended.success(), "an instance that was asked to end: {ended}");
    }

    /// The memory that it has, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// Sends a signal to a process of one's own.
pub fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap().success());
}
