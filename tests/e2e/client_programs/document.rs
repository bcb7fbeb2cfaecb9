//! Extraction of the programs from docs/CLIENTS.md.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::Command;

use crate::support::unique;

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A fenced block. The info string of the fence has its language and its file name.
pub struct Program {
    pub name: String,
    pub text: String,
}

/// Returns all fenced blocks of the document.
pub fn programs() -> Vec<Program> {
    let document = fs::read_to_string(format!("{ROOT}/docs/CLIENTS.md")).unwrap();
    let (mut programs, mut open) = (Vec::<Program>::new(), false);
    for line in document.lines() {
        match (line.strip_prefix("```"), open) {
            (Some(info), false) => {
                let name = info.split_once(' ').unwrap_or_else(|| panic!("a block without a name: {info}")).1;
                programs.push(Program { name: name.to_owned(), text: String::new() });
                open = true;
            }
            (Some(_), true) => open = false,
            (None, true) => {
                let text = &mut programs.last_mut().unwrap().text;
                text.push_str(line);
                text.push('\n');
            }
            (None, false) => {}
        }
    }
    programs
}

/// Returns an example without the lines that only this repository needs, as the document shows it.
pub fn shown(example: &str) -> String {
    let source = fs::read_to_string(format!("{ROOT}/examples/{example}")).unwrap();
    source
        .lines()
        .filter(|line| !line.ends_with("// Not in CLIENTS.md."))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// A temporary folder with all programs under their names.
pub struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    pub fn new() -> Self {
        let folder = Self(std::env::temp_dir().join(unique("clients")));
        fs::create_dir(&folder.0).unwrap();
        for program in programs() {
            fs::write(folder.path(&program.name), program.text).unwrap();
        }
        fs::copy(format!("{ROOT}/static/assets/live.js"), folder.path("live.js")).unwrap();
        fs::write(folder.path("index.html"), "<!doctype html><title>A page</title>").unwrap();
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Returns the command that runs a program.
    pub fn command(&self, name: &str) -> Command {
        let path = self.path(name);
        let runner = match (name, path.extension().unwrap().to_str().unwrap()) {
            ("make_token.py", _) => variable("LIVEKIT_PYTHON"),
            ("receive.py", _) => variable("WEBHOOKS_PYTHON"),
            (_, "py") => "python3".to_owned(),
            (_, "mjs") => "node".to_owned(),
            (_, "sh") => "bash".to_owned(),
            (_, "rs") => {
                let mut command = Command::new(built(name));
                prepare(&mut command);
                return command;
            }
            other => panic!("no runner for {other:?}"),
        };
        let mut command = Command::new(runner);
        if name == "receive.mjs" {
            self.link("WEBHOOKS_NODE_MODULES", "node_modules");
        }
        if name == "follow-grpc.sh" {
            // The downloaded file has a version in its name; the document calls `grpcurl`.
            self.link("GRPCURL", "grpcurl");
            command.env("PATH", format!("{}:{}", self.0.display(), variable("PATH")));
        }
        command.arg(path);
        prepare(&mut command);
        command
    }

    /// Links the file or folder that a variable names.
    fn link(&self, target: &str, name: &str) {
        let link = self.path(name);
        if !link.exists() {
            std::os::unix::fs::symlink(variable(target), link).unwrap();
        }
    }
}

fn prepare(command: &mut Command) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("scripts/test sets {name}"))
}

/// Path of the binary of an example, which must be newer than its source.
fn built(example: &str) -> PathBuf {
    let source = Path::new(ROOT).join("examples").join(example);
    // The test binary is target/…/deps/e2e-….
    let tests = std::env::current_exe().unwrap();
    let binary = tests.parent().unwrap().with_file_name("examples").join(source.file_stem().unwrap());
    let age = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
    assert!(age(&binary) >= age(&source), "{example} has to be built first: cargo build --examples");
    binary
}
