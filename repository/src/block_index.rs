//! Where every block of one backup lies: random access to its map and its checksums.
//!
//! Opening reads the headers and directories of the two tables and verifies them by the manifest's roots. A chunk is
//! read and verified when one of its blocks is asked for. The most recent chunks are cached. Threads may share an
//! index.

use crate::cached_table::{CachedTable, Origin};
use crate::rebuild::{Mended, mend};
use crate::{Repository, RepositoryError, Result, TableKind};
use septet_format::{BackupId, BlockHash, FormatError, Geometry, Location, Manifest, VolumeName, keys};
use septet_store::both;
use std::ops::Range;

/// The blocks of one backup.
pub struct BlockIndex {
    repository: Repository,
    manifest: Manifest,
    geometry: Geometry,
    rows: Vec<Row>,
    checksums: CachedTable,
    map: CachedTable,
}

/// Adjacent blocks that are all stored, or all zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The blocks' numbers.
    pub blocks: Range<u64>,
    /// Whether they are stored. Otherwise they read as zeros.
    pub stored: bool,
}

/// A row of the manifest's segment table.
struct Row {
    source: usize,
    number: u32,
    bytes: u64,
}

impl BlockIndex {
    /// Opens a backup's tables and checks them against the manifest.
    pub fn open(repository: &Repository, manifest: Manifest) -> Result<Self> {
        let open = |kind| CachedTable::open(repository, &manifest, kind);
        let (map, checksums) = both(|| open(TableKind::Map), || open(TableKind::Checksums));
        Self::with_tables(repository, manifest, checksums?, map?)
    }

    /// Like `open`, but rebuilds a damaged or lost table in memory from the segments' own indexes. Also returns which
    /// table that is. Nothing is written. A block that no index lists is damaged; the others are verified as usual.
    /// `NotRebuilt` if both tables are lost and can't be rebuilt exactly.
    pub fn open_mended(repository: &Repository, manifest: Manifest) -> Result<(Self, &'static str)> {
        let Mended { checksums, map, what } = mend(repository, &manifest)?;
        let (checksums, map) = (CachedTable::new(Origin::Checksums(checksums)), CachedTable::new(Origin::Map(map)));
        Ok((Self::with_tables(repository, manifest, checksums, map)?, what))
    }

    /// Whether the error means that one of the two tables, or a chunk of it, is damaged or missing. Then
    /// [`open_mended`](Self::open_mended) may recover its content.
    pub fn is_of_table(&self, error: &RepositoryError) -> bool {
        let of = |key: &str| key == self.manifest.map_key() || key == self.manifest.checksums_key();
        match error {
            RepositoryError::Object { key, cause: FormatError::Damaged { what: "table", .. }, .. } => of(key),
            RepositoryError::Store(error) => of(error.key()),
            _ => false,
        }
    }

    pub(crate) fn with_tables(
        repository: &Repository,
        manifest: Manifest,
        checksums: CachedTable,
        map: CachedTable,
    ) -> Result<Self> {
        let key = manifest.key();
        let geometry = manifest.geometry().map_err(|cause| repository.object_error(&key, cause))?;
        let sources = manifest.sources.iter().enumerate();
        let rows = sources.flat_map(|(source, backup)| {
            backup.segments.iter().map(move |row| Row { source, number: row.number, bytes: row.bytes })
        });
        let rows = rows.collect();
        Ok(BlockIndex { repository: repository.clone(), manifest, geometry, rows, checksums, map })
    }

    /// The backup.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How the volume is cut into blocks.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// A segment by its row, as in [`Location::segment`]: its volume, backup and number.
    pub fn segment(&self, row: u32) -> Option<(&VolumeName, &BackupId, u32)> {
        let row = self.rows.get(usize::try_from(row).ok()?)?;
        let source = &self.manifest.sources[row.source];
        Some((&source.volume, &source.backup, row.number))
    }

    /// The length of a segment by its row.
    pub fn segment_bytes(&self, row: u32) -> Option<u64> {
        self.rows.get(usize::try_from(row).ok()?).map(|row| row.bytes)
    }

    /// The key of a segment by its row.
    pub(crate) fn segment_key(&self, row: u32) -> Option<String> {
        self.segment(row).map(|(volume, backup, number)| keys::segment(volume, backup, number))
    }

    /// The location and hash of a block. Returns `None` for a block that reads as zeros, or that lies beyond the
    /// volume's end. A returned location lies within a segment of the manifest.
    pub fn locate(&self, block: u64) -> Result<Option<(Location, BlockHash)>> {
        if block >= self.geometry.blocks() {
            return Ok(None);
        }
        let location = Location::decode(&self.map.entry(block)?);
        let location = location.map_err(|cause| self.map_error(cause))?;
        let hash = BlockHash::from(self.checksums.entry::<32>(block)?);
        match location {
            None if hash.is_zero() => Ok(None),
            Some(location) if !hash.is_zero() => {
                self.check(block, &location)?;
                Ok(Some((location, hash)))
            }
            _ => Err(self.damaged(format!("block {block} is zero in only one of map and checksums"))),
        }
    }

    /// The longest extent that begins at `block`; `None` beyond the volume's end.
    pub fn next_extent(&self, block: u64) -> Result<Option<Extent>> {
        let blocks = self.geometry.blocks();
        if block >= blocks {
            return Ok(None);
        }
        let mut end = block;
        let mut stored = None;
        while end < blocks {
            let chunk = self.map.chunk_of(end)?;
            let same = chunk.stored_from(end).take_while(|is| *stored.get_or_insert(*is) == *is).count() as u64;
            end += same;
            if same == 0 || end < chunk.entries.end {
                break;
            }
        }
        Ok(Some(Extent { blocks: block..end, stored: stored == Some(true) }))
    }

    fn check(&self, block: u64, location: &Location) -> Result<()> {
        let row = usize::try_from(location.segment).ok().and_then(|row| self.rows.get(row));
        let row = row
            .ok_or_else(|| self.damaged(format!("block {block} lies in a segment that the manifest does not name")))?;
        location.check(self.geometry.len_bytes(block), row.bytes).map_err(|cause| self.map_error(cause))
    }

    fn map_error(&self, cause: septet_format::FormatError) -> RepositoryError {
        self.repository.object_error(&self.map_key(), cause)
    }

    fn damaged(&self, why: String) -> RepositoryError {
        self.repository.damaged(&self.map_key(), "map", why)
    }

    fn map_key(&self) -> String {
        self.manifest.map_key()
    }
}
