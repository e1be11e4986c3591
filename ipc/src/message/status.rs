//! What an agent says to its supervisor: JSON lines on standard error.
//!
//! The sockets carry only what belongs to the work. That an agent is alive, what binds it, how far
//! the run is and why it failed goes this way, which nothing in the ring can block.

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
    /// Something that the user should know, though nothing failed.
    Note {
        /// Who says it.
        agent: AgentKind,
        /// What, in one line.
        text: String,
    },
    /// The agent stops here.
    Failed(Failure),
    /// How far the run is (from the master).
    Progress(Progress),
    /// A block that the repository does not give back as it was stored (from the master).
    Damage(Damage),
}

/// What an agent has done, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Who.
    pub agent: AgentKind,
    /// Commands that were handled.
    pub commands: u64,
    /// CPU time of the process, all of its threads, ms.
    pub cpu_ms: u64,
    /// How many workers there are.
    pub workers: u32,
    /// How long they have been there, added up, ms: what is not in the four below went into messages.
    pub worker_ms: u64,
    /// Time spent in handlers, over all workers, without the waits below, ms.
    pub busy_ms: u64,
    /// Time that handlers waited for the volume or the store, ms.
    pub io_ms: u64,
    /// Time that handlers waited for a free slot, ms.
    pub slot_ms: u64,
    /// Time that workers waited for the next command, ms.
    pub input_ms: u64,
    /// How long the oldest command has been in a handler's hands without a wait for others or a step, ms, rounded up: 0
    /// if no handler is at work.
    pub stuck_ms: u64,
    /// How many messages lay ready when a worker read, on average.
    pub queue_mean: f64,
    /// The most messages that lay ready at once.
    pub queue_most: u64,
    /// How much of its pool was in use, whenever it took a slot, on average, bytes.
    pub pool_mean_bytes: u64,
    /// The most of its pool that was in use, bytes.
    pub pool_most_bytes: u64,
    /// How large its pool was at the most, bytes.
    pub pool_bytes: u64,
    /// The shared memory that it owns, bytes: its pool, at the most since its last sign of life, and what its tables take
    /// by now.
    pub shared_bytes: u64,
    /// The objects that it wrote to the store.
    pub objects: u64,
    /// The requests that it made to the store's server.
    pub requests: u64,
}

impl Status {
    /// Nothing yet, but alive.
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

/// How far a run is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// All that there is to do, bytes (0 while it is not known).
    pub bytes_total: u64,
    /// What is done, bytes.
    pub bytes_done: u64,
    /// Of it, what was read from the volume or the repository, bytes.
    pub bytes_read: u64,
    /// What was stored, or read from the store, bytes.
    pub bytes_stored: u64,
    /// Blocks with data of their own.
    pub blocks_data: u64,
    /// Blocks that were read and are zeros.
    pub blocks_zero: u64,
    /// Blocks that were never read.
    pub blocks_hole: u64,
    /// Blocks that are as in the parent.
    pub blocks_unchanged: u64,
    /// Objects that were deleted, or segments that were checked.
    pub objects: u64,
}

/// A damaged piece, as a restore or a verification meets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// The backup whose segment it is in (verify).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<septet_format::BackupId>,
    /// The number of the segment (verify).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<u32>,
    /// Where in the segment, bytes; none: the whole segment (verify).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment_offset: Option<u64>,
    /// Where in the volume, bytes (restore).
    pub offset: u64,
    /// How long, bytes.
    pub size: u64,
    /// What is wrong.
    pub reason: String,
}

impl Event {
    /// Writes the event as one line to standard error.
    pub fn emit(&self) {
        if let Ok(mut line) = serde_json::to_vec(self) {
            line.push(b'\n');
            // If nobody listens any more, there is nobody to tell.
            let _ = std::io::stderr().lock().write_all(&line);
        }
    }
}
