//! One agent's process, from the supervisor's point of view.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ExitStatus};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use septet_ipc::message::Status;
use septet_ipc::{AgentKind, Event, Failure, FailureKind};

/// The maximum length of a line on an agent's standard error, bytes.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// The polling interval for a process's end, where the kernel has no pidfd.
const WITHOUT_PIDFD: Duration = Duration::from_millis(2);

/// The maximum wait for killed processes to end. A process in an uninterruptible system call stays until the call
/// returns; it must not delay the rest.
pub(crate) const REAP_TIMEOUT: Duration = Duration::from_secs(2);

/// What an agent wrote to its standard error.
#[derive(Debug)]
pub(crate) enum Heard {
    /// An event.
    Event(Event),
    /// Any other text, such as a panic message or a library's output.
    Text(String),
}

/// One agent's process.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) kind: AgentKind,
    pub(crate) child: Child,
    pub(crate) exit: Option<ExitStatus>,
    pub(crate) last_sign: Instant,
    pub(crate) status: Option<Status>,
    pub(crate) failure: Option<Failure>,
    pub(crate) last_words: Option<String>,
}

impl Member {
    /// Takes a newly started process.
    pub(crate) fn new(kind: AgentKind, child: Child) -> Self {
        Self { kind, child, exit: None, last_sign: Instant::now(), status: None, failure: None, last_words: None }
    }

    /// Starts a thread that sends the process's messages to `tell`, with the number `index`.
    pub(crate) fn listen(&mut self, index: usize, tell: &Sender<(usize, Heard)>) -> std::io::Result<()> {
        let Some(stderr) = self.child.stderr.take() else { return Ok(()) };
        let tell = tell.clone();
        let listen = move || listen(index, stderr, &tell);
        std::thread::Builder::new().name(self.kind.process_name()).spawn(listen).map(drop)
    }

    /// Whether the process still runs.
    pub(crate) fn is_running(&mut self) -> std::io::Result<bool> {
        if self.exit.is_none() {
            self.exit = self.child.try_wait()?;
        }
        Ok(self.exit.is_none())
    }

    /// Whether the agent reported a failure or ended with an error.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some() || self.exit.is_some_and(|exit| !exit.success())
    }

    /// Keeps the first failure. A later one replaces it only if the first was `Peer`.
    pub(crate) fn fail(&mut self, failure: Failure) {
        if self.failure.as_ref().is_none_or(|known| known.kind == FailureKind::Peer) {
            self.failure = Some(failure);
        }
    }

    /// Kills the process if it runs.
    pub(crate) fn kill(&mut self) {
        if self.exit.is_none() {
            // It may have just ended by itself.
            let _ = self.child.kill();
        }
    }

    /// Waits for the process to end, at most until `until`.
    pub(crate) fn reap(&mut self, until: Instant) {
        while matches!(self.is_running(), Ok(true)) && Instant::now() < until {
            self.wait_for_exit(until.saturating_duration_since(Instant::now()));
        }
    }

    /// Returns when the process has ended, or after `time_max`. Without a pidfd (Linux 5.3) it may return earlier.
    fn wait_for_exit(&self, time_max: Duration) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // It is not reaped before `exit` is known, so no other process has its id.
        let exited = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        match (exited, Timespec::try_from(time_max)) {
            // A signal makes it return early; the caller checks again.
            (Some(exited), Ok(time_max)) => drop(poll(&mut [PollFd::new(&exited, PollFlags::IN)], Some(&time_max))),
            _ => std::thread::sleep(WITHOUT_PIDFD),
        }
    }
}

fn listen(index: usize, stderr: ChildStderr, tell: &Sender<(usize, Heard)>) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let heard = match serde_json::from_slice(&line) {
            Ok(event) => Heard::Event(event),
            Err(_) => Heard::Text(String::from_utf8_lossy(&line).trim().to_owned()),
        };
        if tell.send((index, heard)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn shell(script: &str) -> Member {
        let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        Member::new(AgentKind::Reader, child)
    }

    #[test]
    fn who_has_ended_is_reaped_and_who_has_not_is_not_waited_for_longer_than_that() {
        let mut ended = shell("exit 3");
        ended.reap(Instant::now() + Duration::from_secs(20));
        assert_eq!(ended.exit.and_then(|exit| exit.code()), Some(3));
        let mut running = shell("exec sleep 60");
        let start = Instant::now();
        running.reap(start + Duration::from_millis(50));
        assert!(running.exit.is_none() && start.elapsed() >= Duration::from_millis(50));
        running.kill();
        running.reap(Instant::now() + Duration::from_secs(20));
        assert!(running.exit.is_some());
    }
}
