//! Reading for a verification: every segment that some backups name, once, to the last byte.
//!
//! The index proves itself by its hash in the manifests, and says what each block must be. The
//! padding is held to zeros here, since it is cut off before the blocks go on to be decoded.

use std::collections::HashSet;
use std::sync::Arc;

use septet_format::{
    BlockHash, IndexEntry, Manifest, SEGMENT_BYTES_MAX, SegmentId, SegmentIndex, SegmentRef, SourceBackup,
};
use septet_ipc::message::{CheckedLine, SegmentName};
use septet_ipc::{Command, Context, Failure, Message, NewSlot, Pool, State, VerifyJob, Work, Worker};
use septet_repository::audit::Sample;
use septet_repository::{Repository, RepositoryError};

use crate::fetch::{self, Wanted, fetch, runs};
use crate::tables::failure;

/// The number of manifests in memory at a time.
const MANIFESTS_AT_ONCE: usize = 64;

/// The backups that are verified.
pub(crate) struct Verify {
    pub(crate) repository: Repository,
    job: VerifyJob,
    pub(crate) pool: Arc<Pool>,
    run_bytes_max: u64,
    sample: Option<Sample>,
}

impl Verify {
    pub(crate) fn begin(job: &VerifyJob, context: &Context) -> Result<Self, Failure> {
        let repository = Repository::of_id(&job.repo, job.repository).map_err(Failure::store)?;
        let pool = fetch::pool(context, job.block_bytes, job.streams, job.pool_bytes)?;
        let run_bytes_max = fetch::run_bytes_max(&repository, &pool, job.streams);
        let stretch_bytes = repository.part_rules().read_bytes;
        let sample = job.sample.map(|sample| Sample::new(stretch_bytes, sample.ppm, sample.round));
        Ok(Self { repository, job: job.clone(), pool, run_bytes_max, sample })
    }

    /// Names every segment that the backups need, each once; of a sample, those that it touches. A backup
    /// that was deleted meanwhile needs none.
    pub(crate) fn scan(&self, worker: &Worker<'_>) -> Result<(), Failure> {
        let mut seen = HashSet::new();
        for backups in self.job.backups.chunks(MANIFESTS_AT_ONCE) {
            for manifest in worker.outside(|| self.repository.manifests(&self.job.volume, backups)) {
                self.name_segments(manifest, &mut seen, worker)?;
                worker.step();
            }
        }
        worker.tell(Message::Scanned(seen.len() as u64))
    }

    /// Names the segments of a backup that were not named before.
    fn name_segments(
        &self,
        manifest: Result<Manifest, RepositoryError>,
        seen: &mut HashSet<(SegmentId, BlockHash)>,
        worker: &Worker<'_>,
    ) -> Result<(), Failure> {
        let manifest = match manifest {
            Err(RepositoryError::UnknownBackup { .. }) => return Ok(()),
            manifest => manifest.map_err(|error| failure(&error))?,
        };
        for (_, source, segment) in manifest.segment_rows() {
            let name = SegmentName {
                repository: source.repository,
                volume: source.volume.clone(),
                backup: source.backup.clone(),
                number: segment.number,
                bytes: segment.bytes,
                hash: segment.hash,
            };
            if self.sample.is_some_and(|sample| !sample.touches(&name.id(), name.bytes)) {
                continue;
            }
            // Two manifests that differ about a segment can't both be right: check both.
            if seen.insert((name.id(), name.hash)) {
                worker.tell(Message::Found(name))?;
            }
        }
        Ok(())
    }

    /// Reads a segment and sends on each of its blocks.
    pub(crate) fn check(&self, name: &SegmentName, worker: &Worker<'_>) -> Result<(), Failure> {
        let checked = |blocks, damaged| {
            let SegmentId { volume, backup, number } = name.id();
            worker.tell(Message::Checked(CheckedLine { volume, backup, number, blocks, damaged }))
        };
        let index = match self.index(name) {
            Ok(index) => index,
            Err(error) if error.is_damage() => return checked(0, Some(error.to_string())),
            Err(error) => return Err(failure(&error)),
        };
        let id = name.id();
        let is_chosen = |offset| self.sample.is_none_or(|sample| sample.has(&id, offset));
        let chosen = index.entries.iter().filter(|entry| is_chosen(entry.offset_bytes));
        let wanted: Vec<_> = chosen.map(|entry| self.wanted(name, &index, entry)).collect();
        let blocks = wanted.len() as u64;
        for run in runs(wanted, self.run_bytes_max) {
            self.read_run(name, run, worker, &index)?;
        }
        checked(blocks, None)
    }

    fn index(&self, name: &SegmentName) -> Result<SegmentIndex, RepositoryError> {
        let segment = SegmentRef { number: name.number, bytes: name.bytes, hash: name.hash, live_bytes: 0 };
        let (volume, backup) = (name.volume.clone(), name.backup.clone());
        let source = SourceBackup { repository: name.repository, volume, backup, segments: Vec::new() };
        self.repository.segment_index(&source, &segment)
    }

    fn wanted(&self, name: &SegmentName, index: &SegmentIndex, entry: &IndexEntry) -> Wanted {
        debug_assert!(entry.offset_bytes < SEGMENT_BYTES_MAX, "the decoder lets no such entry pass");
        let size = u64::from(index.geometry.len_bytes(entry.block));
        let mut command = Command::new(index.geometry.offset_bytes(entry.block), size, State::Data);
        command.hash = Some(entry.hash);
        command.codec = Some(entry.codec);
        command.stored = Some(entry.stored_bytes);
        command.volume = (name.volume != self.job.volume).then(|| name.volume.clone());
        command.backup = Some(name.backup.clone());
        command.segment = Some(name.number);
        command.segment_offset = Some(entry.offset_bytes);
        Wanted { segment: name.number, offset_bytes: entry.offset_bytes, stored_bytes: entry.stored_bytes, command }
    }

    fn read_run(
        &self,
        name: &SegmentName,
        run: Vec<Wanted>,
        worker: &Worker<'_>,
        index: &SegmentIndex,
    ) -> Result<(), Failure> {
        let segment = ((&name.volume, &name.backup, name.number), name.bytes);
        match fetch(&self.repository, &self.pool, segment, &run, worker)? {
            Ok(fetched) => {
                fetched.each(run, |block, slot| worker.send(checked_block(block, slot, index)))?;
                worker.step();
                Ok(())
            }
            Err(_) if run.len() > 1 => {
                run.into_iter().try_for_each(|block| self.read_run(name, vec![block], worker, index))
            }
            Err(error) if !error.is_damage() => Err(failure(&error)),
            Err(error) => run.into_iter().try_for_each(|block| worker.send(damaged(block.command, error.to_string()))),
        }
    }
}

/// The block with what is known before it is decoded: whether its stored bytes are those of the index.
fn checked_block(block: Wanted, mut slot: NewSlot, index: &SegmentIndex) -> Work {
    let room_bytes = u64::from(block.stored_bytes).next_multiple_of(index.align_bytes);
    let len = usize::try_from(room_bytes).unwrap_or(usize::MAX).min(slot.bytes_mut().len());
    let stored = &slot.bytes_mut()[..len];
    let found = index.entries.binary_search_by_key(&block.offset_bytes, |entry| entry.offset_bytes);
    match found.map(|at| index.entries[at].check_stored(stored)) {
        Ok(Ok(())) => Work { command: block.command, slot: Some(slot.filled(block.stored_bytes as usize)) },
        Ok(Err(error)) => damaged(block.command, error.to_string()),
        Err(_) => damaged(block.command, "the block is not in its segment's index".to_owned()),
    }
}

fn damaged(mut command: Command, reason: String) -> Work {
    command.state = State::Damaged;
    command.reason = Some(reason);
    Work { command, slot: None }
}
