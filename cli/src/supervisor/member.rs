//! One agent's process, as the supervisor sees it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ExitStatus};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use septet_ipc::message::Status;
use septet_ipc::{AgentKind, Event, Failure, FailureKind};

/// The longest line that an agent may say on its standard error, bytes.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// What an agent said on its standard error.
#[derive(Debug)]
pub(crate) enum Heard {
    /// An event.
    Event(Event),
    /// Anything else: a panic's words, or a library's.
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
    /// Takes a process that was just started, and has what it says told to `tell`.
    pub(crate) fn new(
        index: usize,
        kind: AgentKind,
        mut child: Child,
        tell: &Sender<(usize, Heard)>,
    ) -> std::io::Result<Self> {
        if let Some(stderr) = child.stderr.take() {
            let tell = tell.clone();
            std::thread::Builder::new().name(kind.process_name()).spawn(move || listen(index, stderr, &tell))?;
        }
        Ok(Self { kind, child, exit: None, last_sign: Instant::now(), status: None, failure: None, last_words: None })
    }

    /// Whether the process still runs.
    pub(crate) fn is_running(&mut self) -> std::io::Result<bool> {
        if self.exit.is_none() {
            self.exit = self.child.try_wait()?;
        }
        Ok(self.exit.is_none())
    }

    /// Whether it said so, or ended other than well.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some() || self.exit.is_some_and(|exit| !exit.success())
    }

    /// Notes why it failed: the first reason, but the loss of a peer only for want of another.
    pub(crate) fn fail(&mut self, failure: Failure) {
        if self.failure.as_ref().is_none_or(|known| known.kind == FailureKind::Peer) {
            self.failure = Some(failure);
        }
    }

    /// Kills the process if it runs.
    pub(crate) fn kill(&mut self) {
        if self.exit.is_none() {
            // It may have ended by itself just now.
            let _ = self.child.kill();
        }
    }

    /// Waits for the process to go, until then at the longest.
    pub(crate) fn reap(&mut self, until: Instant) {
        while matches!(self.is_running(), Ok(true)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
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
