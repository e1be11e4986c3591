//! The checksums and the map while they are built. They start with the parent's entries. Then come the blocks that an
//! interrupted run of this backup stored, and then what this run finds.

use std::sync::Arc;

use septet_format::{BlockHash, Codec, Geometry, IndexEntry, Location, MAP_ENTRY_BYTES, Manifest, SegmentRef, keys};
use septet_ipc::message::{self, SegmentLine};
use septet_ipc::{BackupJob, Command, Context, Failure, Resume, Table};
use septet_repository::{OpenedBackup, Repository, RepositoryError, resume};

const MAP_BYTES: usize = MAP_ENTRY_BYTES as usize;
/// Entries that are processed at a time.
const CHUNK_ENTRIES: u64 = 16384;

/// The two tables. They start as copies of the parent's.
pub(crate) struct Tables {
    pub(crate) checksums: Arc<Table>,
    pub(crate) map: Arc<Table>,
    pub(crate) parent: Option<Manifest>,
    /// The first row of this backup's own segments, after all rows of the parent.
    pub(crate) own_row: u32,
    /// The number of the first segment that this attempt writes.
    pub(crate) first_segment: u32,
    /// The row of that segment, after the segments that are reused.
    first_row: u32,
    /// The number of leading blocks that the parent has too, with the same lengths.
    comparable_blocks: u64,
    resume: Option<Resume>,
}

impl Tables {
    /// Creates and fills the tables. Announces the checksums to `diff`, and the known blocks, which need no read, to
    /// the reader. Also returns this backup's segments that are already stored.
    pub(crate) fn new(
        repository: &Repository,
        job: &BackupJob,
        geometry: Geometry,
        context: &Context,
    ) -> Result<(Self, Vec<SegmentLine>), Failure> {
        let checksums = context.table(message::TableKind::Checksums, geometry.blocks())?;
        let map = context.table(message::TableKind::Map, geometry.blocks())?;
        let parent = job.parent.as_ref().map(|parent| repository.open_backup(&job.volume, parent)).transpose();
        let parent = parent.map_err(|error| Failed::from(parent_gone(error, job)).0)?;
        let first_segment = keys::first_segment(job.attempt)
            .ok_or_else(|| Failure::protocol("the number of this attempt at the backup is too large"))?;
        let mut tables = Self {
            checksums,
            map,
            parent: None,
            own_row: 0,
            first_segment,
            first_row: 0,
            comparable_blocks: 0,
            resume: job.resume,
        };
        if let Some(parent) = parent {
            let parent = tables.load(parent, geometry)?;
            tables.own_row = u32::try_from(parent.rows()).map_err(Failure::protocol)?;
            tables.parent = Some(parent);
        }
        let segments = tables.take_over(repository, job, geometry, context)?;
        let taken_over = u32::try_from(segments.len()).map_err(Failure::protocol)?;
        tables.first_row = tables.own_row.checked_add(taken_over).ok_or_else(too_many)?;
        if tables.parent.is_some() || tables.resume.is_some() {
            context.announce(&tables.checksums);
        }
        Ok((tables, segments))
    }

    /// Enters the blocks that earlier attempts stored. Each of their segments gets the next row.
    fn take_over(
        &self,
        repository: &Repository,
        job: &BackupJob,
        geometry: Geometry,
        context: &Context,
    ) -> Result<Vec<SegmentLine>, Failure> {
        let Some(Resume { unchanged }) = job.resume else { return Ok(Vec::new()) };
        let known = unchanged.then(|| context.table(message::TableKind::Known, geometry.blocks())).transpose()?;
        let enter = |at: u32, entry: &IndexEntry| {
            let IndexEntry { block, hash, offset_bytes, stored_bytes, codec, .. } = *entry;
            let segment = self.own_row.saturating_add(at);
            let location = Location { segment, offset_bytes, stored_bytes, codec };
            self.write(block, &location, &hash)?;
            known.as_ref().map_or(Ok(()), |known| known.write(block, &[1])).map_err(Failed)
        };
        let backup = (&job.volume, &job.backup);
        let taken = resume::take_over(repository, backup, self.first_segment, &geometry, enter);
        let line =
            |segment: SegmentRef| SegmentLine { number: segment.number, bytes: segment.bytes, hash: segment.hash };
        let segments = taken.map_err(|Failed(failure)| failure)?.into_iter().map(line).collect();
        if let Some(known) = &known {
            context.announce(known);
        }
        Ok(segments)
    }

    /// Copies the parent's tables as far as the parent has the same blocks. Returns its manifest.
    fn load(&mut self, parent: OpenedBackup, geometry: Geometry) -> Result<Manifest, Failure> {
        let before = parent.manifest.geometry().map_err(Failure::damaged)?;
        if before.block_bytes() != geometry.block_bytes() {
            return Err(Failure::store(format!(
                "backup {} has blocks of {} bytes, not {}: use its block size, or --full",
                parent.manifest.backup,
                before.block_bytes(),
                geometry.block_bytes()
            )));
        }
        // A short last block is comparable only with one that ends at the same byte.
        self.comparable_blocks = if before.volume_bytes() == geometry.volume_bytes() {
            geometry.blocks()
        } else {
            before.volume_bytes().min(geometry.volume_bytes()) / u64::from(geometry.block_bytes())
        };
        let comparable = self.comparable_blocks;
        let checksums = |first, chunk: &[u8]| copy(&self.checksums, comparable, first, chunk);
        let map = |first, chunk: &[u8]| copy(&self.map, comparable, first, chunk);
        parent.load(checksums, map).map_err(|Failed(failure)| failure)
    }

    /// Sets these blocks to zeros.
    pub(crate) fn clear(&self, first: u64, blocks: u64) -> Result<(), Failure> {
        if self.parent.is_none() && self.resume.is_none() {
            return Ok(());
        }
        self.checksums.clear(first, blocks)?;
        self.map.clear(first, blocks)
    }

    /// Keeps the current entries of these blocks. They are the parent's, according to the volume's change tracking, or
    /// were stored by the interrupted run that this run resumes, with the volume unchanged. Returns how many are of the
    /// latter kind.
    pub(crate) fn keep(&self, first: u64, blocks: u64) -> Result<u64, Failure> {
        let taken_over = self.taken_over(first, blocks)?;
        if taken_over > 0 && self.resume.is_none_or(|resume| !resume.unchanged) {
            return Err(Failure::protocol(format!(
                "block {first} or a later one was stored by the interrupted run and not checked since"
            )));
        }
        let end = first.saturating_add(blocks);
        let beyond = first.max(self.comparable_blocks);
        if beyond >= end || self.taken_over(beyond, end - beyond)? == end - beyond {
            return Ok(taken_over);
        }
        Err(Failure::protocol(format!(
            "block {first} and the following ones are reported as unchanged, but the parent does not have them"
        )))
    }

    /// How many of these blocks lie in this backup's own segments.
    pub(crate) fn taken_over(&self, first: u64, blocks: u64) -> Result<u64, Failure> {
        let (mut at, end, mut own) = (first, first.saturating_add(blocks), 0);
        if self.resume.is_none() {
            return Ok(0);
        }
        let mut chunk = vec![0; MAP_BYTES * usize::try_from(blocks.min(CHUNK_ENTRIES)).unwrap_or(0)];
        while at < end {
            let entries = (end - at).min(CHUNK_ENTRIES);
            let bytes = &mut chunk[..MAP_BYTES * usize::try_from(entries).unwrap_or(0)];
            self.map.read(at, bytes)?;
            for entry in bytes.as_chunks::<MAP_BYTES>().0 {
                let location = Location::decode(entry).map_err(Failure::damaged)?;
                own += u64::from(location.is_some_and(|location| location.segment >= self.own_row));
            }
            at += entries;
        }
        Ok(own)
    }

    /// Records a stored block.
    pub(crate) fn set(&self, block: u64, command: &Command) -> Result<(), Failure> {
        let missing = || Failure::protocol("the command for a stored block has no location or no hash");
        let hash = command.hash.ok_or_else(missing)?;
        let number = command.segment.ok_or_else(missing)?;
        let row = number.checked_sub(self.first_segment).and_then(|at| self.first_row.checked_add(at));
        let location = Location {
            segment: row.ok_or_else(too_many)?,
            offset_bytes: command.segment_offset.ok_or_else(missing)?,
            stored_bytes: u32::try_from(command.stored_bytes()).map_err(Failure::protocol)?,
            codec: command.codec.unwrap_or(Codec::Raw),
        };
        self.write(block, &location, &hash).map_err(|Failed(failure)| failure)
    }

    fn write(&self, block: u64, location: &Location, hash: &BlockHash) -> Result<(), Failed> {
        self.map.write(block, &Location::encode(Some(location))).map_err(Failed)?;
        self.checksums.write(block, hash.as_bytes()).map_err(Failed)
    }
}

/// The parent was there when the run began.
fn parent_gone(error: RepositoryError, job: &BackupJob) -> RepositoryError {
    match (error, &job.parent) {
        (RepositoryError::UnknownBackup { .. }, Some(parent)) => {
            RepositoryError::ParentGone { volume: job.volume.clone(), parent: parent.backup.clone() }
        }
        (error, _) => error,
    }
}

fn too_many() -> Failure {
    Failure::store("segment numbers do not belong to this attempt, or there are too many segments")
}

/// A failure from either side of the copy.
struct Failed(Failure);

impl From<RepositoryError> for Failed {
    fn from(error: RepositoryError) -> Self {
        Self(if error.is_damage() { Failure::damaged(error) } else { Failure::store(error) })
    }
}

/// Copies a chunk of the parent's table, as far as it lies within the first `entries` entries.
fn copy(table: &Table, entries: u64, first: u64, chunk: &[u8]) -> Result<(), Failed> {
    let entry_bytes = table.kind().entry_bytes() as usize;
    let wanted = usize::try_from(entries.saturating_sub(first)).unwrap_or(usize::MAX).saturating_mul(entry_bytes);
    table.write(first.min(entries), &chunk[..chunk.len().min(wanted)]).map_err(Failed)
}
