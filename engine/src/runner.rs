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
    /// Runs a job to its end, and tells `observer` what the agents say meanwhile.
    ///
    /// # Errors
    /// The first cause that ended the run.
    fn run(&self, begin: &Begin, observer: &mut dyn Observer) -> Result<Report, RunError>;

    /// Removes what crashed runs have left on this host outside of repositories; how many objects.
    fn clear_up(&self) -> usize;

    /// The process whose life shows whether a backup is still being made.
    fn process(&self) -> Process {
        septet_repository::current_process()
    }

    /// The least size of each pool of slots: the block in work stays in the cache.
    fn pool_bytes_min(&self) -> u64 {
        32 << 20
    }

    /// What the host's clock shows.
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// A number that no other run has: it keeps two backups of one second apart.
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

/// What a run that ended well did.
#[derive(Debug, Default)]
pub struct Report {
    /// How far it came: to the end.
    pub progress: Progress,
    /// What it found damaged.
    pub damage: Vec<Damage>,
    /// What it cost.
    pub usage: Usage,
    /// What each agent did.
    pub agents: Vec<Status>,
    /// How long it took.
    pub seconds: f64,
}

/// What a run cost its host.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Usage {
    /// User and system time of all processes, seconds.
    pub cpu_seconds: f64,
    /// The largest sum of all processes' own memory and the program's text once, and all shared
    /// memory once, bytes.
    pub memory_peak_bytes: u64,
}

impl Report {
    /// What all processes of the run have made of objects and requests.
    pub fn counts(&self) -> Counts {
        self.agents.iter().fold(septet_repository::counts(), |Counts { objects, requests }, agent| Counts {
            objects: objects + agent.objects,
            requests: requests + agent.requests,
        })
    }
}

/// Why a run did not end well.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted,
    /// An agent failed: the first cause.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The agents could not be started, or not be waited for.
    #[error("starting the agents: {0}")]
    Start(String),
    /// The agents can't be locked in as it is required.
    #[error("{0}")]
    Sandbox(String),
}

impl RunError {
    /// The error of a request whose run this ended; `left` says what an interruption means for what it was at.
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
