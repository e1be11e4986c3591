//! `septet-backupreader` reads what is stored: blocks of a part of the volume for a restore, whole segments for a
//! verification.
//!
//! Blocks that are neighbours in a segment are read with one request into one run of shared memory. The run is then
//! split into one slot per block. So nothing is copied, and each block's memory can be released separately.

mod fetch;
mod restore;
mod shelf;
mod tables;
mod verify;

use septet_ipc::{Agent, AgentKind, Begin, Context, Failure, Message, Needs, State, StoreCounts, Work, Worker};

use crate::restore::Restore;
use crate::verify::Verify;

/// The agent, with one of its two tasks.
pub struct Backupreader {
    task: Task,
    streams: usize,
}

enum Task {
    Restore(Box<Restore>),
    Verify(Box<Verify>),
}

impl Agent for Backupreader {
    const KIND: AgentKind = AgentKind::Backupreader;
    const SHARED_OBJECTS: usize = 1;

    fn needs(begin: &Begin) -> Needs {
        septet_repository::needs_to_read(begin.repo())
    }

    fn store_counts(&self) -> StoreCounts {
        let repository = match &self.task {
            Task::Restore(restore) => restore.repository.clone(),
            Task::Verify(verify) => verify.repository.clone(),
        };
        Box::new(move || repository.counts().into())
    }

    fn begin(begin: &mut Begin, context: &Context) -> Result<Self, Failure> {
        let (task, streams) = match begin {
            Begin::Restore(job) => (Task::Restore(Box::new(Restore::begin(job, context)?)), job.streams),
            Begin::Verify(job) => (Task::Verify(Box::new(Verify::begin(job, context)?)), job.streams),
            _ => return Err(Failure::protocol("backupreader runs only in a restore or a verification")),
        };
        Ok(Self { task, streams: streams.clamp(1, 64) as usize })
    }

    fn workers(&self) -> usize {
        self.streams
    }

    fn handle(&self, work: Work, worker: &Worker<'_>) -> Result<(), Failure> {
        match (&self.task, work.command.state) {
            (Task::Restore(restore), State::Map) => restore.map(&work.command, worker),
            (Task::Restore(restore), _) => restore.read(&work.command, worker),
            (Task::Verify(_), _) => {
                Err(Failure::protocol("a verification accepts commands for segments, not for extents"))
            }
        }
    }

    fn message(&self, message: Message, worker: &Worker<'_>) -> Result<(), Failure> {
        match (&self.task, message) {
            (Task::Verify(verify), Message::Scan) => verify.scan(worker),
            (Task::Verify(verify), Message::Check(segment)) => verify.check(&segment, worker),
            (_, other) => worker.tell(other),
        }
    }
}

#[cfg(test)]
mod tests;
