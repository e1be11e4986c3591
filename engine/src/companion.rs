//! A process that talks to a volume's storage system beside the ring.
//!
//! It is started before the run and connects while the run goes on. It answers questions before and after the run. So
//! one connection serves all questions, and nothing waits for a new connection at the end of the run.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use septet_ipc::agent::SUPERVISOR_VARIABLE;
use septet_ipc::message::{Answer, Question};
use septet_volume::VolumeUrl;

use crate::supervisor::ceph;
use crate::words::words;

/// The maximum length of an answer (one line), bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The process, or why it was not started. The reason is returned when a question is asked.
pub(super) struct Companion(Result<Running, String>);

impl Companion {
    /// Starts a companion if the volume is an image. Other volumes need none.
    pub(super) fn start(volume: &VolumeUrl, timeout: Duration) -> Option<Self> {
        volume.image().map(|_| Self(Running::start(volume, timeout)))
    }

    /// Asks a question and waits for the answer. The error says why there is none.
    pub(super) fn ask(&mut self, question: &Question, timeout: Duration) -> Result<Answer, String> {
        let running = self.0.as_mut().map_err(|why| why.clone())?;
        match running.ask(question, Instant::now() + timeout)? {
            Some(Answer::Failed(why)) => Err(why),
            Some(answer) => Ok(answer),
            None => Err(format!("Ceph has not answered for {} s", timeout.as_secs())),
        }
    }
}

struct Running {
    child: Child,
    questions: ChildStdin,
    answers: ChildStdout,
}

impl Running {
    fn start(volume: &VolumeUrl, timeout: Duration) -> Result<Self, String> {
        let mut command = Command::new(ceph::program());
        command.arg("attend").arg(volume.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        ceph::set_environment(&mut command, timeout);
        command.env(SUPERVISOR_VARIABLE, std::process::id().to_string());
        // The terminal's Ctrl-C must not end it: after an interruption it still has to remove snapshots.
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| ceph::not_started(&error).to_string())?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(questions), Some(answers)) => Ok(Self { child, questions, answers }),
            _ => Err("its pipes are missing".to_owned()),
        }
    }

    /// Returns the answer; none if it did not arrive in time.
    fn ask(&mut self, question: &Question, until: Instant) -> Result<Option<Answer>, String> {
        let mut line = serde_json::to_vec(question).map_err(|error| error.to_string())?;
        line.push(b'\n');
        // If the process has ended, the read below detects that, and its last line says why.
        let _ = self.questions.write_all(&line);
        let mut said = Vec::new();
        while !said.ends_with(b"\n") {
            let mut piece = [0; 4096];
            match self.read(&mut piece, until).map_err(|error| words(&error))? {
                None => return Ok(None),
                Some(0) => return Err(self.last_words()),
                Some(bytes) => said.extend_from_slice(&piece[..bytes]),
            }
            if said.len() > ANSWER_BYTES_MAX {
                return Err(format!("its answer is longer than {ANSWER_BYTES_MAX} bytes"));
            }
        }
        serde_json::from_slice(&said).map(Some).map_err(|error| format!("its answer is invalid: {error}"))
    }

    fn read(&mut self, into: &mut [u8], until: Instant) -> std::io::Result<Option<usize>> {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(std::io::Error::other)?;
        match poll(&mut [PollFd::new(&self.answers, PollFlags::IN)], Some(&left)) {
            Ok(0) => Ok(None),
            Ok(_) => self.answers.read(into).map(Some),
            // The recursive call computes the remaining time again.
            Err(rustix::io::Errno::INTR) => self.read(into, until),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Why the process ended.
    fn last_words(&mut self) -> String {
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            // Output that can't be read is omitted.
            let _ = stderr.read_to_string(&mut said);
        }
        ceph::missing_library(&said).unwrap_or_else(|| said.lines().last().unwrap_or("it ended").to_owned())
    }
}

impl Drop for Running {
    /// The process holds no state between two questions, so it may be killed.
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}
