//! Reading for a restore: extents of the volume, located through the backup's map.

use std::sync::Arc;

use septet_format::Geometry;
use septet_ipc::{Command, Context, Failure, Pool, RestoreJob, State, Work, Worker};
use septet_repository::{Repository, RepositoryError};

use crate::fetch::{self, Wanted, fetch};
use crate::shelf::Shelf;
use crate::tables::{Tables, failure};

/// The backup to restore.
pub(crate) struct Restore {
    pub(crate) repository: Repository,
    tables: Tables,
    pub(crate) pool: Arc<Pool>,
    shelf: Shelf,
    keep_going: bool,
}

impl Restore {
    pub(crate) fn begin(job: &RestoreJob, context: &Context) -> Result<Self, Failure> {
        let repository = Repository::of_id(&job.repo, job.repository).map_err(Failure::store)?;
        let opened = repository.open_backup(&job.volume, &job.backup).map_err(|error| failure(&error))?;
        let tables = Tables::new(&repository, opened, job.keep_going)?;
        let pool = fetch::pool(context, job.block_bytes, job.streams, job.pool_bytes)?;
        let shelf = Shelf::new(fetch::run_bytes_max(&repository, &pool, job.streams));
        Ok(Self { repository, tables, pool, shelf, keep_going: job.keep_going })
    }

    /// Answers what an extent consists of: stored data, and ranges that read as zeros.
    pub(crate) fn map(&self, command: &Command, worker: &Worker<'_>) -> Result<(), Failure> {
        let geometry = self.tables.geometry();
        command.whole_blocks(geometry)?;
        let mut offset = command.offset;
        while offset < command.end() {
            let block = geometry.block_at(offset);
            let extent = self.tables.ask(|index| index.next_extent(block))?.map_err(|error| failure(&error))?;
            let extent = extent.ok_or_else(|| Failure::protocol("the command goes beyond the volume's end"))?;
            let end = end_bytes(geometry, extent.blocks.end).min(command.end());
            let state = if extent.stored { State::Present } else { State::Hole };
            worker.send(Work::new(offset, end - offset, state))?;
            worker.step();
            offset = end;
        }
        Ok(())
    }

    /// Reads the blocks of an extent, or at least as many blocks of other extents that lie between them in the segment.
    pub(crate) fn read(&self, command: &Command, worker: &Worker<'_>) -> Result<(), Failure> {
        let geometry = self.tables.geometry();
        command.whole_blocks(geometry)?;
        let mut wanted = Vec::new();
        let mut offset = command.offset;
        while offset < command.end() {
            let block = geometry.block_at(offset);
            let size = u64::from(geometry.len_bytes(block));
            match self.tables.ask(|index| index.locate(block))? {
                Ok(Some((location, hash))) => {
                    let mut command = Command::new(offset, size, State::Data);
                    command.hash = Some(hash);
                    command.codec = Some(location.codec);
                    command.stored = Some(location.stored_bytes);
                    let (segment, offset_bytes) = (location.segment, location.offset_bytes);
                    wanted.push(Wanted { segment, offset_bytes, stored_bytes: location.stored_bytes, command });
                }
                Ok(None) => worker.send(Work::new(offset, size, State::Zero))?,
                Err(error) => self.damaged(Command::new(offset, size, State::Damaged), &error, worker)?,
            }
            offset += size;
        }
        let mut due = wanted.len();
        self.shelf.put(wanted);
        while due > 0 {
            let Some(run) = self.shelf.take() else { break };
            due = due.saturating_sub(run.len());
            self.read_run(run, worker)?;
        }
        Ok(())
    }

    fn read_run(&self, run: Vec<Wanted>, worker: &Worker<'_>) -> Result<(), Failure> {
        let row = run.first().map_or(0, |block| block.segment);
        let index = self.tables.index();
        let segment = index.segment(row).zip(index.segment_bytes(row));
        let segment =
            segment.ok_or_else(|| Failure::damaged("the map names a segment that the manifest does not contain"))?;
        match fetch(&self.repository, &self.pool, segment, &run, worker)? {
            Ok(fetched) => {
                fetched.each(run, |block, slot| {
                    let slot = Some(slot.filled(block.stored_bytes as usize));
                    worker.send(Work { command: block.command, slot })
                })?;
                worker.step();
                Ok(())
            }
            // A block that can't be read must not prevent its neighbours from being read.
            Err(_) if run.len() > 1 => run.into_iter().try_for_each(|block| self.read_run(vec![block], worker)),
            Err(error) => run.into_iter().try_for_each(|block| self.damaged(block.command, &error, worker)),
        }
    }

    fn damaged(&self, mut command: Command, error: &RepositoryError, worker: &Worker<'_>) -> Result<(), Failure> {
        if !self.keep_going || !error.is_damage() {
            let range = format!("restoring volume bytes {}..{}", command.offset, command.end());
            return Err(failure(error).doing(range));
        }
        command.state = State::Damaged;
        (command.stored, command.codec, command.hash) = (None, None, None);
        command.reason = Some(error.to_string());
        worker.send(Work { command, slot: None })
    }
}

fn end_bytes(geometry: &Geometry, block: u64) -> u64 {
    if block >= geometry.blocks() { geometry.volume_bytes() } else { geometry.offset_bytes(block) }
}
