//! Postgres servers.

use std::{
    fs::File,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::{Duration, Instant},
};

use sqlx::migrate::MigrateDatabase;

use super::{
    ports::{free_port, wait_for_port},
    process::{ChildProcess, keep_until_exit, run, start, start_with_children},
};
use crate::support::{DEADLINE, eventually, unique};

/// Returns the path of a program of Postgres. Debian does not put the server's programs on the `PATH`.
fn program(name: &str) -> String {
    let on_path = Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    if on_path {
        return name.to_owned();
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = versions.map(|version| version.path().join("bin").join(name)).collect();
    found.retain(|path| path.exists());
    found.sort();
    let newest = found.pop().expect("Postgres is installed (scripts/requirements)");
    newest.to_string_lossy().into_owned()
}

/// What precedes a command so that it does not run as root, which Postgres refuses.
fn as_user() -> Vec<&'static str> {
    let is_root = run("id", &["-u"], "").trim() == "0";
    if is_root {
        vec!["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"]
    } else {
        Vec::new()
    }
}

/// A Postgres server with a folder of its own. Writes survive the death of the server, not that of the machine.
pub struct Postgres {
    pub port: u16,
    folder: PathBuf,
    running: Option<ChildProcess>,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.running.take();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Postgres {
    /// Starts a server.
    pub fn start() -> Self {
        let mut server = Self { port: free_port(), folder: new_cluster(), running: None };
        server.restart();
        server
    }

    /// Starts the server on the same port and folder, after [`Self::kill`].
    pub fn restart(&mut self) {
        let command = server_command(self.port, &self.folder);
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let mut server = start(words[0], &words[1..]);
        let end = Instant::now() + DEADLINE;
        while !self.accepts_connections() {
            assert!(Instant::now() < end, "Postgres does not start");
            std::thread::park_timeout(Duration::from_millis(20));
            // A server ends at once while processes of a killed one have its memory.
            if server.exit_status().is_some() {
                server = start(words[0], &words[1..]);
            }
        }
        self.running = Some(server);
    }

    /// Reports whether the server that has been started last accepts connections. For a moment, a process of a killed
    /// server can hold its port.
    fn accepts_connections(&self) -> bool {
        let state = std::fs::read_to_string(self.folder.join("postmaster.pid")).unwrap_or_default();
        let is_ready = state.lines().any(|line| line.trim() == "ready");
        is_ready && TcpStream::connect(("127.0.0.1", self.port)).is_ok()
    }

    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("the server runs").pid()
    }

    /// Kills the server. Its processes for connections end when they notice that.
    pub fn kill(&mut self) {
        self.running.take().expect("the server runs").kill();
        let _ = std::fs::remove_file(self.folder.join("postmaster.pid"));
    }

    /// Creates an empty database and returns its URL.
    pub async fn create_database(&self) -> String {
        create_database(self.port).await
    }
}

/// Creates the folder of a server.
fn new_cluster() -> PathBuf {
    let folder = std::env::temp_dir().join(unique("postgres"));
    std::fs::create_dir(&folder).unwrap();
    let path = folder.to_string_lossy().into_owned();
    let mut command = as_user();
    if !command.is_empty() {
        run("chown", &["postgres:postgres", &path], "");
    }
    let initdb = program("initdb");
    command.extend([&*initdb, "-D", &path, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]);
    run(command[0], &command[1..], "");
    folder
}

/// Returns the command of a server. The change of the user clears the signal at the death of the parent, so the command
/// asks for it again.
fn server_command(port: u16, folder: &Path) -> Vec<String> {
    let (server, port, folder) = (program("postgres"), port.to_string(), folder.to_string_lossy());
    let mut command = as_user();
    command.extend(["setpriv", "--pdeathsig", "KILL", "--", &server, "-p", &port, "-h", "127.0.0.1"]);
    command.extend(["-k", "", "-F", "-c", "max_connections=200", "-D", &folder]);
    command.into_iter().map(str::to_owned).collect()
}

/// Creates an empty database, once the server accepts statements, and returns its URL.
async fn create_database(port: u16) -> String {
    let url = format!("postgres://postgres@127.0.0.1:{port}/{}", unique("history"));
    eventually("Postgres", || async { sqlx::Postgres::create_database(&url).await.ok() }).await;
    url
}

/// Creates an empty database on a server that tests share, and returns its URL. They must not stop the server.
pub async fn shared_postgres_database() -> String {
    static PORT: OnceLock<u16> = OnceLock::new();
    let port = *PORT.get_or_init(|| keep_until_exit(start_shared));
    create_database(port).await
}

/// Starts a server whose folder is removed when this process ends.
fn start_shared() -> (u16, ChildProcess) {
    const SCRIPT: &str =
        "trap 'kill -QUIT $child; wait $child; rm -rf \"$0\"; exit' TERM; \"$@\" & child=$!; wait";
    let (port, folder) = (free_port(), new_cluster());
    let (command, folder) = (server_command(port, &folder), folder.to_string_lossy().into_owned());
    let mut words = vec!["-c", SCRIPT, &folder];
    words.extend(command.iter().map(String::as_str));
    let running = start_with_children("sh", &words, &File::create("/dev/null").unwrap());
    wait_for_port(port);
    (port, running)
}
