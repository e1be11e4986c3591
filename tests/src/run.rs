//! Runs `septet` with a time limit, and checks how it ended.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::processes::{Process, assert_gone, children, urgently};
use crate::{binary, require_root};

/// Every run of a test is much shorter, even on a busy machine.
const TIME_LIMIT: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(2);

/// A command line of `septet`.
pub fn septet<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Septet {
    require_root();
    let mut command = Command::new(binary());
    // The user's settings must not influence a test.
    command.env_remove("SEPTET_REPO").args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Septet { command, time_limit: TIME_LIMIT }
}

/// A run of `septet` that has not started.
#[derive(Debug)]
pub struct Septet {
    command: Command,
    time_limit: Duration,
}

impl Septet {
    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the working directory.
    pub fn current_dir(mut self, path: &Path) -> Self {
        self.command.current_dir(path);
        self
    }

    /// Sets how long the run may take before the test fails.
    pub fn time_limit(mut self, time_limit: Duration) -> Self {
        self.time_limit = time_limit;
        self
    }

    /// Starts the run.
    pub fn spawn(mut self) -> Running {
        let line = line(&self.command);
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("{line}: {error}"));
        let stdout = collect(child.stdout.take().expect("a pipe"));
        let stderr = collect(child.stderr.take().expect("a pipe"));
        let until = Instant::now() + self.time_limit;
        Running { line, child, stdout: Some(stdout), stderr: Some(stderr), until }
    }

    /// Runs it and waits for its end.
    pub fn run(self) -> Outcome {
        self.spawn().wait()
    }

    /// Runs it and asserts that it succeeds: exit status 0.
    pub fn ok(self) -> Outcome {
        self.run().exits(0)
    }

    /// Runs it and asserts that it fails with `status` and one error line that contains `text`.
    pub fn fails(self, status: i32, text: &str) -> Outcome {
        let outcome = self.run().exits(status);
        let error = outcome.error_line();
        assert!(error.contains(text), "{}: expected {text:?} in {error:?}", outcome.line);
        outcome
    }
}

/// A running `septet`. It is killed when this value is dropped.
#[derive(Debug)]
pub struct Running {
    line: String,
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    until: Instant,
}

impl Running {
    /// The supervisor's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The agents that are running now.
    pub fn agents(&self) -> Vec<Process> {
        children(self.pid()).into_iter().filter(|process| process.name.starts_with("septet-")).collect()
    }

    /// Waits for the agent called `name` (such as `reader`) to run. `None` if septet ends before.
    pub fn agent(&mut self, name: &str) -> Option<Process> {
        let name = format!("septet-{name}");
        urgently(|| self.wait_until(|run| run.agents().into_iter().find(|agent| agent.name == name)))
    }

    /// Waits until `look` returns a value. `None` if septet ends before.
    pub fn wait_until<T>(&mut self, mut look: impl FnMut(&mut Self) -> Option<T>) -> Option<T> {
        loop {
            if let Some(seen) = look(self) {
                return Some(seen);
            }
            if self.exit_status().is_some() {
                return None;
            }
            self.check_time();
            std::thread::sleep(POLL);
        }
    }

    /// Sends the supervisor a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("sending a signal");
    }

    /// Kills the supervisor, and waits until it and its agents have ended. Returns false if it had ended before.
    pub fn kill_all(&mut self) -> bool {
        if self.exit_status().is_some() {
            return false;
        }
        // A stopped supervisor starts no more agents. Its id can't be reused, because it was not waited for yet.
        self.signal(Signal::STOP);
        let agents = self.agents();
        self.end();
        assert_gone(&agents);
        true
    }

    /// Waits for the end of the run.
    pub fn wait(mut self) -> Outcome {
        let status = loop {
            if let Some(status) = self.exit_status() {
                break status;
            }
            self.check_time();
            std::thread::sleep(POLL);
        };
        self.outcome(status)
    }

    fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("waiting for septet")
    }

    fn check_time(&mut self) {
        if Instant::now() > self.until {
            let agents = self.agents();
            self.end();
            let status = self.child.wait().expect("waiting for septet");
            let outcome = self.outcome(status);
            panic!(
                "{} did not end in time, with {agents:?}; it said:\n{}{}",
                outcome.line, outcome.stdout, outcome.stderr
            );
        }
    }

    fn outcome(&mut self, status: ExitStatus) -> Outcome {
        let text = |handle: Option<JoinHandle<Vec<u8>>>| {
            let bytes = handle.map(|handle| handle.join().expect("a reader")).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (stdout, stderr) = (text(self.stdout.take()), text(self.stderr.take()));
        Outcome { line: self.line.clone(), status: status.code(), signal: status.signal(), stdout, stderr }
    }

    /// Kills the supervisor. Its agents end with it.
    fn end(&mut self) {
        let _ = self.child.kill();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
        let _ = self.child.wait();
    }
}

/// How a run of `septet` ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The command line.
    pub line: String,
    /// The exit status. `None` if a signal ended it.
    pub status: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Outcome {
    /// Asserts the exit status.
    pub fn exits(self, status: i32) -> Self {
        let Self { line, stdout, stderr, .. } = &self;
        let ended = (self.status, self.signal);
        assert!(ended == (Some(status), None), "{line} ended with {ended:?} instead of {status}:\n{stdout}{stderr}");
        self
    }

    /// The JSON lines on standard output.
    pub fn events(&self) -> Vec<Value> {
        let parse =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}: {line}", self.line));
        self.stdout.lines().map(parse).collect()
    }

    /// The last JSON line. Asserts that it is the summary.
    pub fn summary(&self) -> Value {
        let last = self.events().pop().unwrap_or_else(|| panic!("{} printed nothing", self.line));
        assert_eq!(last["event"], "summary", "{}: {last}", self.line);
        last
    }

    /// The one line on standard error that says why the run failed.
    pub fn error_line(&self) -> &str {
        let mut lines = self.stderr.lines().filter(|line| line.contains("error:"));
        let line = lines.next().unwrap_or_else(|| panic!("{} gave no error:\n{}", self.line, self.stderr));
        assert_eq!(lines.next(), None, "{}: more than one line of error:\n{}", self.line, self.stderr);
        line
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // If the output can't be read, the test's own assertions fail.
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

fn line(command: &Command) -> String {
    let words = command.get_args().map(|arg| OsString::from(arg).to_string_lossy().into_owned());
    std::iter::once("septet".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}
