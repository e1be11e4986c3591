//! What an agent reports to its supervisor: JSON lines on standard error.
//!
//! The sockets carry only messages about the work. Signs of life, bottlenecks, progress and failures use standard
//! error, which nothing in the ring can block.

use std::io::Write;

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::ids::AgentKind;

/// One line on an agent's standard error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A sign of life, twice a second.
    Status(Status),
    /// A message for the user that is not a failure.
    Note {
        /// The agent that reports it.
        agent: AgentKind,
        /// The message, in one line.
        text: String,
    },
    /// The agent failed and stops.
    Failed(Failure),
    /// The progress of the run (from the master).
    Progress(Progress),
    /// A block that the repository does not return as it was stored (from the master).
    Damage(Damage),
}

/// What an agent has done, and where its time went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The agent.
    pub agent: AgentKind,
    /// Commands handled.
    pub commands: u64,
    /// CPU time of the process, all threads, ms.
    pub cpu_ms: u64,
    /// The number of workers.
    pub workers: u32,
    /// The summed age of the workers, ms. The time that is not in the next four fields was spent on messages.
    pub worker_ms: u64,
    /// Time spent in handlers, over all workers, without the waits below, ms.
    pub busy_ms: u64,
    /// Time that handlers waited for the volume or the store, ms.
    pub io_ms: u64,
    /// Time that handlers waited for a free slot, ms.
    pub slot_ms: u64,
    /// Time that workers waited for the next command, ms.
    pub input_ms: u64,
    /// How long the oldest command has been handled without a wait for others or a step, ms, rounded up. 0 if no
    /// handler is at work.
    pub stuck_ms: u64,
    /// The mean number of messages that were ready when a worker read.
    pub queue_mean: f64,
    /// The largest number of messages that were ready when a worker read.
    pub queue_most: u64,
    /// The mean use of its pool, measured each time a slot was taken, bytes.
    pub pool_mean_bytes: u64,
    /// The largest use of its pool, bytes.
    pub pool_most_bytes: u64,
    /// The largest size of its pool, bytes.
    pub pool_bytes: u64,
    /// The shared memory that it owns, bytes: the largest size of its pool since its last sign of life, plus the
    /// current size of its tables.
    pub shared_bytes: u64,
    /// The number of objects that it wrote to the store.
    pub objects: u64,
    /// The number of requests that it made to the store's server.
    pub requests: u64,
}

impl Status {
    /// The status of an agent that is alive and has done nothing yet.
    pub fn alive(agent: AgentKind) -> Self {
        Self {
            agent,
            commands: 0,
            cpu_ms: 0,
            workers: 0,
            worker_ms: 0,
            busy_ms: 0,
            io_ms: 0,
            slot_ms: 0,
            input_ms: 0,
            stuck_ms: 0,
            queue_mean: 0.0,
            queue_most: 0,
            pool_mean_bytes: 0,
            pool_most_bytes: 0,
            pool_bytes: 0,
            shared_bytes: 0,
            objects: 0,
            requests: 0,
        }
    }
}

/// The progress of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The total amount of work, bytes. 0 while it is unknown.
    pub bytes_total: u64,
    /// The work that is done, bytes.
    pub bytes_done: u64,
    /// The part of it that was read from the volume or the repository, bytes.
    pub bytes_read: u64,
    /// Bytes stored, or read from the store.
    pub bytes_stored: u64,
    /// Blocks with their own data.
    pub blocks_data: u64,
    /// Blocks that were read and are all zeros.
    pub blocks_zero: u64,
    /// Blocks that were not read because they are holes.
    pub blocks_hole: u64,
    /// Blocks that are the same as in the parent.
    pub blocks_unchanged: u64,
    /// Objects that were deleted, or segments that were checked.
    pub objects: u64,
}

/// A damaged range that a restore or a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// The volume whose segment holds it, if it is not the volume of the job (verify).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<septet_format::VolumeName>,
    /// The backup whose segment holds it (verify).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<septet_format::BackupId>,
    /// The number of the segment (verify).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<u32>,
    /// The offset in the segment, bytes. None: the whole segment (verify).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment_offset: Option<u64>,
    /// The offset in the volume, bytes (restore).
    pub offset: u64,
    /// The length, bytes.
    pub size: u64,
    /// What is wrong.
    pub reason: String,
}

impl Event {
    /// Writes the event as one line to standard error.
    pub fn emit(&self) {
        if let Ok(mut line) = serde_json::to_vec(self) {
            line.push(b'\n');
            // If standard error is closed, no one can receive the event.
            let _ = std::io::stderr().lock().write_all(&line);
        }
    }
}
