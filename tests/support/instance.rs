//! Instances as separate processes, which tests can kill.

use std::{fs::File, path::PathBuf, process::Command};

use super::{
    app::test_partitions,
    eventually,
    feed_client::Address,
    servers::{ChildProcess, KEY, SECRET, free_port, start_logged, start_with},
};

/// A process of the service. Its ports stay the same after a restart.
pub struct Instance {
    http: u16,
    grpc: u16,
    settings: Vec<(String, String)>,
    /// File of the log, if the test reads it.
    log: Option<PathBuf>,
    /// Pipe or file that receives the log instead.
    output: Option<File>,
    /// Limit of open files of the process.
    open_files: Option<u32>,
    running: Option<ChildProcess>,
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(log) = &self.log {
            let _ = std::fs::remove_file(log);
        }
    }
}

impl Instance {
    /// Chooses ports and settings without starting the process.
    pub fn new(redis: &str, livekit: &str, prefix: &str) -> Self {
        super::install_crypto_provider();
        let (http, grpc) = (free_port(), free_port());
        let settings = [
            ("REDIS_URL", redis),
            ("REDIS_PREFIX", prefix),
            ("REDIS_PARTITIONS", &test_partitions().unwrap_or_default()),
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
        Self {
            http,
            grpc,
            settings: settings.into(),
            log: None,
            output: None,
            open_files: None,
            running: None,
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the process with a limit of open files.
    pub fn with_open_files(mut self, limit: u32) -> Self {
        self.open_files = Some(limit);
        self
    }

    /// Writes the log to a file, as lines of JSON, which [`Self::log`] reads.
    pub fn with_log(mut self) -> Self {
        self.log = Some(std::env::temp_dir().join(super::unique("log")));
        self.with("LOG_FORMAT", "json")
    }

    /// Writes the log to this file or pipe, as lines of JSON.
    pub fn with_log_output(mut self, output: impl Into<std::os::fd::OwnedFd>) -> Self {
        self.output = Some(File::from(output.into()));
        self.with("LOG_FORMAT", "json")
    }

    /// Returns the log until now.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.as_ref().expect("the log is kept")).unwrap()
    }

    /// Starts the process and waits until it accepts connections.
    pub async fn start_listening(&mut self) {
        let binary = env!("CARGO_BIN_EXE_livestream-orchestrator");
        let limit = self.open_files.map(|limit| format!("--nofile={limit}"));
        let (program, args) = match &limit {
            Some(limit) => ("prlimit", vec![limit.as_str(), binary]),
            None => (binary, Vec::new()),
        };
        self.running = Some(match (&self.output, &self.log) {
            (Some(output), _) => start_logged(program, &args, &self.settings, output),
            (None, Some(log)) => start_logged(program, &args, &self.settings, &File::create(log).unwrap()),
            (None, None) => match super::create_log_file("instance") {
                Some(log) => start_logged(program, &args, &self.settings, &log),
                None => start_with(program, &args, &self.settings),
            },
        });
        let address = ("127.0.0.1", self.http);
        eventually("a listener", || async {
            tokio::net::TcpStream::connect(address).await.is_ok().then_some(())
        })
        .await;
    }

    /// Starts the process and waits until it is ready.
    pub async fn start(&mut self) {
        self.start_listening().await;
        let ready = format!("http://127.0.0.1:{}/health/ready", self.http);
        eventually("readiness", || async {
            reqwest::get(&ready).await.ok()?.status().is_success().then_some(())
        })
        .await;
    }

    /// Runs a command of the binary with the same settings; returns its exit code and output.
    pub async fn run_command(&self, args: &[&str]) -> (Option<i32>, String) {
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
        self.running.as_ref().expect("the process runs").pid()
    }

    /// Kills the process, as a crash does.
    pub fn kill(&mut self) {
        self.running.take().expect("the process runs").kill();
    }

    /// Sends SIGTERM and waits for a successful exit.
    pub async fn terminate(&mut self) {
        signal(self.pid(), "TERM");
        self.wait_for_exit().await;
    }

    /// Waits for a successful exit.
    pub async fn wait_for_exit(&mut self) {
        let mut running = self.running.take().expect("the process runs");
        let status = eventually("the end of an instance", || {
            let status = running.exit_status();
            async move { status }
        })
        .await;
        assert!(status.success(), "exit after SIGTERM: {status}");
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// Sends a signal to a process.
pub fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap().success());
}
