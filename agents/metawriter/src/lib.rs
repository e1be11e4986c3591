//! `septet-metawriter` completes the backup. It writes the checksums, the map and finally the manifest. The manifest is
//! written only if none exists yet.
//!
//! Both tables start as copies of the parent's, and become this backup's during the run. So unchanged blocks need no
//! work at all, and an incremental's map is complete. `diff` compares with the same checksums: an entry is written only
//! after its block has passed `diff`.

mod commit;
mod rows;
mod tables;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use septet_format::Geometry;
use septet_ipc::{
    Agent, AgentKind, BackupJob, Begin, Context, Failure, Message, Needs, State, StoreCounts, Table, Work, Worker,
};
use septet_repository::Repository;

use crate::commit::{Commit, Counted};
use crate::tables::Tables;

/// The agent: the tables being built, and the content of the manifest.
pub struct Metawriter {
    repository: Repository,
    job: BackupJob,
    geometry: Geometry,
    started: Instant,
    created: jiff::Timestamp,
    tables: Tables,
    counted: Mutex<Counted>,
}

impl Agent for Metawriter {
    const KIND: AgentKind = AgentKind::Metawriter;
    const SHARED_OBJECTS: usize = 3;

    fn needs(begin: &Begin) -> Needs {
        septet_repository::needs_to_write(begin.repo())
    }

    fn store_counts(&self) -> StoreCounts {
        let repository = self.repository.clone();
        Box::new(move || repository.counts().into())
    }

    fn begin(begin: &mut Begin, context: &Context) -> Result<Self, Failure> {
        let Begin::Backup(job) = begin else {
            return Err(Failure::protocol("metawriter runs only in a backup"));
        };
        let volume_bytes =
            job.volume_bytes.ok_or_else(|| Failure::protocol("`begin` does not give the volume's size"))?;
        let geometry = Geometry::for_writing(volume_bytes, job.block_bytes).map_err(Failure::protocol)?;
        let repository = Repository::of_id(&job.repo, job.repository).map_err(Failure::store)?;
        let (tables, segments) = Tables::new(&repository, job, geometry, context)?;
        Ok(Self {
            repository,
            job: job.clone(),
            geometry,
            started: Instant::now(),
            created: jiff::Timestamp::now(),
            tables,
            counted: Mutex::new(Counted { segments, ..Counted::default() }),
        })
    }

    /// A table has come round the ring and is back at the agent that created it.
    fn table(&self, _: Table) -> Result<Option<Table>, Failure> {
        Ok(None)
    }

    fn handle(&self, mut work: Work, worker: &Worker<'_>) -> Result<(), Failure> {
        self.record(&work)?;
        // The master only counts. The other fields are recorded here, so they are dropped.
        let command = &mut work.command;
        (command.hash, command.codec, command.crc32) = (None, None, None);
        (command.segment, command.segment_offset) = (None, None);
        worker.send(work)
    }

    fn message(&self, message: Message, worker: &Worker<'_>) -> Result<(), Failure> {
        match message {
            Message::Segment(segment) => {
                self.counted().segments.push(segment);
                Ok(())
            }
            other => worker.tell(other),
        }
    }

    fn end(&self, worker: &Worker<'_>) -> Result<(), Failure> {
        let counted = std::mem::take(&mut *self.counted());
        let Self { repository, job, geometry, tables, started, created, .. } = self;
        let commit = Commit { repository, job, geometry, tables, started: *started, created: *created };
        commit::commit(commit, counted, worker)
    }
}

impl Metawriter {
    fn record(&self, work: &Work) -> Result<(), Failure> {
        let command = &work.command;
        if command.end() > self.geometry.volume_bytes() {
            return Err(Failure::protocol(format!(
                "bytes {}..{} are not in the volume",
                command.offset,
                command.end()
            )));
        }
        let first = self.geometry.block_at(command.offset);
        let blocks = command.size.div_ceil(u64::from(self.geometry.block_bytes()));
        // How many of the unchanged blocks were stored by the interrupted run that this run resumes.
        let mut taken_over = 0;
        match command.state {
            State::Map | State::Present | State::Damaged => return Ok(()),
            State::Hole | State::Zero => self.tables.clear(first, blocks)?,
            State::Kept => taken_over = self.tables.keep(first, blocks)?,
            State::Unchanged => taken_over = self.tables.taken_over(first, blocks)?,
            State::Data => self.tables.set(first, command)?,
        }
        let mut counted = self.counted();
        match command.state {
            State::Hole => counted.blocks.hole += blocks,
            State::Zero => counted.blocks.zero += blocks,
            State::Data => counted.blocks.data += blocks,
            _ => {
                counted.blocks.data += taken_over;
                counted.blocks.unchanged += blocks - taken_over;
            }
        }
        if !matches!(command.state, State::Hole | State::Kept) {
            counted.bytes_read += command.size;
        }
        Ok(())
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
