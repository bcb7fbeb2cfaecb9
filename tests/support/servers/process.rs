//! Child processes that end with the test.

use std::{
    fs::File,
    io::Write,
    process::{Child, Command, ExitStatus, Stdio},
};

/// A child process that is killed on drop.
pub struct ChildProcess(Child);

impl Drop for ChildProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl ChildProcess {
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Exit status, if the process has ended.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }

    /// Sends SIGTERM and waits for the exit.
    pub fn terminate(&mut self) {
        let pid = self.pid().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.0.wait();
    }

    /// Kills the process, as a crash does.
    pub fn kill(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program without its output.
pub fn start(program: &str, args: &[&str]) -> ChildProcess {
    start_with(program, args, &[])
}

/// As [`start`], with environment variables.
pub fn start_with(program: &str, args: &[&str], environment: &[(String, String)]) -> ChildProcess {
    let mut command = command("KILL", program, args);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    run_on(program, command.stdout(Stdio::null()))
}

/// As [`start_with`], with the output in a file.
pub fn start_logged(
    program: &str,
    args: &[&str],
    environment: &[(String, String)],
    log: &File,
) -> ChildProcess {
    let mut command = command("KILL", program, args);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdout(log.try_clone().unwrap()).stderr(log.try_clone().unwrap());
    let child = command.stdin(Stdio::null()).spawn();
    ChildProcess(child.unwrap_or_else(|error| panic!("{program} cannot be started: {error}")))
}

/// Starts a program that ends its own child processes on SIGTERM, with the output in a file.
pub fn start_with_children(program: &str, args: &[&str], log: &File) -> ChildProcess {
    run_on(program, command("TERM", program, args).stdout(log.try_clone().unwrap()))
}

/// A command that the kernel sends `signal` when the thread that started it ends (`setpriv --pdeathsig`).
fn command(signal: &str, program: &str, args: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal, "--", program]).args(args);
    command
}

fn run_on(program: &str, command: &mut Command) -> ChildProcess {
    let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
    ChildProcess(child.unwrap_or_else(|error| panic!("{program} cannot be started: {error}")))
}

/// Runs a program and returns its output. Panics with its errors if it fails.
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

/// Starts a server on a thread that lasts until the test process ends, because the child ends with its thread.
pub(super) fn keep_until_exit<T: Send + 'static, P>(start: impl FnOnce() -> (T, P) + Send + 'static) -> T {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (value, running) = start();
        sender.send(value).unwrap();
        let _running = running;
        loop {
            std::thread::park();
        }
    });
    receiver.recv().unwrap()
}
