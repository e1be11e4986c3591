//! The checksums and the map in the making.

use std::sync::Arc;

use septet_format::{CHECKSUM_ENTRY_BYTES, Codec, Geometry, Location, MAP_ENTRY_BYTES, Manifest};
use septet_ipc::{BackupJob, Command, Context, Failure, Table};
use septet_repository::{Repository, RepositoryError, TableKind};

/// The two tables, which start as the parent's.
pub(crate) struct Tables {
    pub(crate) checksums: Arc<Table>,
    pub(crate) map: Arc<Table>,
    pub(crate) parent: Option<Manifest>,
    /// The first row of this backup's own segments: behind all that the parent names.
    pub(crate) own_row: u32,
    /// Up to here the parent has the same blocks, of the same lengths.
    comparable_blocks: u64,
}

impl Tables {
    /// Makes the tables, fills them with the parent's, and announces the checksums to `diff`.
    pub(crate) fn new(
        repository: &Repository,
        job: &BackupJob,
        geometry: Geometry,
        context: &Context,
    ) -> Result<Self, Failure> {
        let checksums = context.table("checksums", CHECKSUM_ENTRY_BYTES, geometry.blocks())?;
        let map = context.table("map", MAP_ENTRY_BYTES, geometry.blocks())?;
        let parent = job.parent.as_ref().map(|parent| repository.manifest(&job.volume, parent)).transpose();
        let parent = parent.map_err(|error| Failed::from(error).0)?;
        let mut tables = Self { checksums, map, parent: None, own_row: 0, comparable_blocks: 0 };
        if let Some(parent) = parent {
            tables.load(repository, &parent, geometry)?;
            tables.own_row = u32::try_from(parent.rows()).map_err(Failure::protocol)?;
            tables.parent = Some(parent);
            context.announce(&tables.checksums);
        }
        Ok(tables)
    }

    fn load(&mut self, repository: &Repository, parent: &Manifest, geometry: Geometry) -> Result<(), Failure> {
        let before = parent.geometry().map_err(Failure::damaged)?;
        if before.block_bytes() != geometry.block_bytes() {
            return Err(Failure::store(format!(
                "backup {} has blocks of {} bytes, not {}: use its block size, or --full",
                parent.backup,
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
        load(repository, parent, TableKind::Checksums, &self.checksums, self.comparable_blocks)?;
        load(repository, parent, TableKind::Map, &self.map, self.comparable_blocks)
    }

    /// These blocks read as zeros.
    pub(crate) fn clear(&self, first: u64, blocks: u64) -> Result<(), Failure> {
        if self.parent.is_none() {
            return Ok(());
        }
        self.checksums.clear(first, blocks)?;
        self.map.clear(first, blocks)
    }

    /// These blocks are the parent's, on the word of the volume's change tracking.
    pub(crate) fn keep(&self, first: u64, blocks: u64) -> Result<(), Failure> {
        if first.saturating_add(blocks) <= self.comparable_blocks {
            return Ok(());
        }
        Err(Failure::protocol(format!(
            "block {first} and those behind it are said to be unchanged, but the parent has none like them"
        )))
    }

    /// This block is stored.
    pub(crate) fn set(&self, block: u64, command: &Command) -> Result<(), Failure> {
        let missing = || Failure::protocol("a stored block came without its place or hash");
        let hash = command.hash.ok_or_else(missing)?;
        let number = command.segment.ok_or_else(missing)?;
        let location = Location {
            segment: self.own_row.checked_add(number).ok_or_else(|| Failure::store("too many segments"))?,
            offset_bytes: command.segment_offset.ok_or_else(missing)?,
            stored_bytes: u32::try_from(command.stored_bytes()).map_err(Failure::protocol)?,
            codec: command.codec.unwrap_or(Codec::Raw),
        };
        self.map.write(block, &Location::encode(Some(&location)))?;
        self.checksums.write(block, hash.as_bytes())
    }
}

/// A failure, whichever side of the copy it came from.
struct Failed(Failure);

impl From<RepositoryError> for Failed {
    fn from(error: RepositoryError) -> Self {
        Self(if error.is_damage() { Failure::damaged(error) } else { Failure::store(error) })
    }
}

/// Copies the first `entries` entries of the parent's table.
fn load(
    repository: &Repository,
    parent: &Manifest,
    kind: TableKind,
    table: &Table,
    entries: u64,
) -> Result<(), Failure> {
    let entry_bytes = table.line().entry_bytes as usize;
    let copied = repository.load_table(parent, kind, |first, chunk| {
        let wanted = usize::try_from(entries.saturating_sub(first)).unwrap_or(usize::MAX).saturating_mul(entry_bytes);
        table.write(first.min(entries), &chunk[..chunk.len().min(wanted)]).map_err(Failed)
    });
    copied.map_err(|Failed(failure)| failure)
}
