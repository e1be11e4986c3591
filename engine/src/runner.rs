//! Runs a job, that is the agents of its pipeline, wherever they are.

use jiff::Timestamp;
use septet_format::Process;
use septet_ipc::message::{Damage, Progress, Status};
use septet_ipc::{AgentKind, Begin, Failure};
use septet_repository::Counts;
use serde::Serialize;
use uuid::Uuid;

use crate::error::Interrupted;
use crate::observer::Observer;
use crate::words::words;

/// Runs jobs, on a host with a clock.
pub trait Runner {
    /// Runs a job to its end, and passes the agents' messages to `observer`.
    ///
    /// # Errors
    /// The first cause that ended the run.
    fn run(&self, begin: &Begin, observer: &mut dyn Observer) -> Result<Report, RunError>;

    /// Removes what crashed runs left on this host outside of repositories. Returns the number of removed objects.
    fn clear_up(&self) -> usize;

    /// The process that is recorded in markers. While it lives, the backup is considered to be running.
    fn process(&self) -> Process {
        septet_repository::current_process()
    }

    /// The minimum size of each pool of slots. It is small enough for the current blocks to stay in the CPU cache.
    fn pool_bytes_min(&self) -> u64 {
        32 << 20
    }

    /// The time of the host's clock.
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// A number that no other run has. It distinguishes two backups of the same second.
    fn random(&self) -> u32 {
        Uuid::new_v4().as_fields().0
    }
}

/// The agents of each job, in the order of the ring.
pub fn pipeline(begin: &Begin) -> &'static [AgentKind] {
    use AgentKind::{
        Backupreader, Checksum, Compressor, Datawriter, Decompressor, Diff, Master, Metawriter, Reader, S3worker,
        Volumewriter,
    };
    match begin {
        Begin::Backup(_) => &[Master, Reader, Checksum, Diff, Compressor, Datawriter, Metawriter],
        Begin::Restore(_) => &[Master, Backupreader, Decompressor, Volumewriter],
        Begin::Verify(_) => &[Master, Backupreader, Decompressor],
        Begin::Delete(_) => &[Master, S3worker],
    }
}

/// The result of a successful run.
#[derive(Debug, Default)]
pub struct Report {
    /// The final progress.
    pub progress: Progress,
    /// The damage that was found.
    pub damage: Vec<Damage>,
    /// The cost of the run.
    pub usage: Usage,
    /// The last status of each agent.
    pub agents: Vec<Status>,
    /// The duration of the run.
    pub seconds: f64,
    /// What the command itself wrote and sent.
    pub own: Counts,
}

/// The cost of a run for its host.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Usage {
    /// User and system time of all processes, seconds.
    pub cpu_seconds: f64,
    /// The peak memory, bytes: the largest sum of the private memory of all processes and the program's text (counted
    /// once), plus the largest amount of shared memory (counted once).
    pub memory_peak_bytes: u64,
}

impl Report {
    /// The sum of the command's own counts of objects and requests, and those of its agents.
    pub fn counts(&self) -> Counts {
        self.agents.iter().fold(self.own, |Counts { objects, requests }, agent| Counts {
            objects: objects + agent.objects,
            requests: requests + agent.requests,
        })
    }
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The user interrupted it.
    #[error("interrupted")]
    Interrupted,
    /// An agent failed. This is the first cause.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The agents could not be started, or waiting for them failed.
    #[error("starting the agents: {0}")]
    Start(String),
    /// The required sandbox is not available.
    #[error("{0}")]
    Sandbox(String),
}

impl RunError {
    /// Converts the run's error to the error of the request. `left` says what an interruption leaves behind.
    pub(crate) fn with_what_is_left(self, left: &str) -> anyhow::Error {
        match self {
            Self::Interrupted => Interrupted(left.to_owned()).into(),
            Self::Failed(failure) => failure.into(),
            other @ (Self::Start(_) | Self::Sandbox(_)) => other.into(),
        }
    }
}

impl From<std::io::Error> for RunError {
    fn from(error: std::io::Error) -> Self {
        Self::Start(words(&error))
    }
}
