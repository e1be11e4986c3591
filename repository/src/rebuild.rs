//! Rebuilds a backup's lost or damaged tables from the indexes of the segments.
//!
//! An index entry says which block lies where and what its hash is. If the checksums are whole, a block's place is the
//! newest entry with the right hash. If the map is whole, the entry at the block's place has the block's hash. If both
//! tables are lost, the newest entry gives both, unless the block has become zeros since. The manifest decides in each
//! case: a table is written only if it has the length and the root that the manifest states.

use crate::entries::Entries;
use crate::{Repository, RepositoryError, Result, TableKind};
use septet_format::{EncodedTable, Geometry, IndexEntry, Location, Manifest, SegmentIndex, TableRef};
use std::fmt::Write;
use std::ops::Range;

/// The number of ranges or segments that an error names. The rest is only counted.
const NAMED_MAX: usize = 3;

/// An entry that no valid map has: it has a place but names no segment.
const NOWHERE: [u8; 12] = [0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0];

/// The tables that were lost or damaged and have been rebuilt; neither if nothing was wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// The map.
    pub map: bool,
    /// The checksums.
    pub checksums: bool,
}

/// Rebuilds the missing or damaged tables of a backup. After each segment's index, `progress` gets the number of
/// indexes that have been read and their total.
///
/// Segments with an unreadable index are skipped. `NotRebuilt` if something is missing then: the error says what, and
/// nothing has been written. Needs up to 88 bytes of memory per block.
pub fn rebuild(repository: &Repository, manifest: &Manifest, progress: &mut dyn FnMut(u64, u64)) -> Result<Rebuilt> {
    let mut tables = Tables::load(repository, manifest)?;
    if tables.lost != Rebuilt::default() {
        tables.fill(progress);
        tables.store()?;
    }
    Ok(tables.lost)
}

/// Both tables of a backup. One of them is rebuilt as far as possible.
pub(crate) struct Mended {
    pub(crate) checksums: Entries<32>,
    /// For a block whose place isn't known, this has an entry that no valid map has.
    pub(crate) map: Entries<12>,
    /// The table that was rebuilt.
    pub(crate) what: &'static str,
}

/// Rebuilds a damaged table in memory as far as possible. `NotRebuilt` if the other table is missing too and nothing
/// proves which blocks the backup has.
pub(crate) fn mend(repository: &Repository, manifest: &Manifest) -> Result<Mended> {
    let mut tables = Tables::load(repository, manifest)?;
    tables.fill(&mut |_, _| {});
    if tables.lost == (Rebuilt { map: true, checksums: true }) {
        tables.encode(&tables.checksums, manifest.checksums)?;
        tables.encode(&tables.map, manifest.map)?;
    }
    let what = tables.what();
    let Tables { checksums, mut map, lost, .. } = tables;
    if lost.map {
        let nowhere = checksums.stored().map(|(block, _)| block).filter(|block| map.get(*block) == [0; 12]);
        for block in nowhere.collect::<Vec<_>>() {
            map.set(block, NOWHERE);
        }
    }
    Ok(Mended { checksums, map, what })
}

/// The tables of one backup. Lost tables begin empty.
struct Tables<'a> {
    repository: &'a Repository,
    manifest: &'a Manifest,
    geometry: Geometry,
    lost: Rebuilt,
    map: Entries<12>,
    checksums: Entries<32>,
    /// Why segments could not be used.
    unusable: Vec<String>,
}

impl<'a> Tables<'a> {
    fn load(repository: &'a Repository, manifest: &'a Manifest) -> Result<Self> {
        let key = manifest.key();
        let geometry = manifest.geometry().map_err(|cause| repository.object_error(&key, cause))?;
        let map = whole(Entries::load(repository, manifest, TableKind::Map))?;
        let checksums = whole(Entries::load(repository, manifest, TableKind::Checksums))?;
        let lost = Rebuilt { map: map.is_none(), checksums: checksums.is_none() };
        let map = map.unwrap_or_else(|| Entries::new(geometry.blocks()));
        let checksums = checksums.unwrap_or_else(|| Entries::new(geometry.blocks()));
        Ok(Tables { repository, manifest, geometry, lost, map, checksums, unusable: Vec::new() })
    }

    /// Takes the entries of the segments' indexes, the newest segment first.
    fn fill(&mut self, progress: &mut dyn FnMut(u64, u64)) {
        let rows: Vec<_> = self.manifest.segment_rows().collect();
        for ((row, source, segment), read) in rows.iter().rev().zip(1..) {
            match self.repository.segment_index(source, segment) {
                Ok(index) => self.take_index(*row, &index),
                Err(error) => self.unusable.push(error.to_string()),
            }
            progress(read, rows.len() as u64);
        }
    }

    fn take_index(&mut self, row: u32, index: &SegmentIndex) {
        // The volume may have been resized since: a block of another length is a different block.
        let same = |block| self.geometry.len_bytes(block) == index.geometry.len_bytes(block);
        if self.geometry.block_bytes() != index.geometry.block_bytes() {
            return;
        }
        for entry in index.entries.iter().filter(|entry| same(entry.block)) {
            let IndexEntry { block, hash, offset_bytes, stored_bytes, codec, .. } = *entry;
            let location = Location { segment: row, offset_bytes, stored_bytes, codec };
            let (location, hash) = (Location::encode(Some(&location)), *hash.as_bytes());
            if fits(self.lost.map, self.map.get(block), location)
                && fits(self.lost.checksums, self.checksums.get(block), hash)
            {
                self.map.set(block, location);
                self.checksums.set(block, hash);
            }
        }
    }

    /// Writes the lost tables, if they equal the original ones.
    fn store(&self) -> Result<()> {
        if self.missing().next().is_some() {
            return Err(self.not_rebuilt());
        }
        let mut objects = Vec::new();
        if self.lost.checksums {
            objects.push((self.manifest.checksums_key(), self.object(&self.checksums, self.manifest.checksums)?));
        }
        if self.lost.map {
            objects.push((self.manifest.map_key(), self.object(&self.map, self.manifest.map)?));
        }
        objects.into_iter().try_for_each(|(key, object)| Ok(self.repository.store().put(&key, object.into())?))
    }

    /// The table's object, if its length is the one that the manifest states.
    fn object<const BYTES: usize>(&self, entries: &Entries<BYTES>, named: TableRef) -> Result<Vec<u8>> {
        let table = self.encode(entries, named)?;
        if table.object.len() as u64 == named.bytes { Ok(table.object) } else { Err(self.not_rebuilt()) }
    }

    /// The packed table, if it is the one that the manifest names.
    fn encode<const BYTES: usize>(&self, entries: &Entries<BYTES>, named: TableRef) -> Result<EncodedTable> {
        // A hostile manifest may state far more blocks than a table of this length can have.
        let possible = entries.object_bytes_min() <= named.bytes;
        let table = possible.then(|| entries.encode().ok()).flatten();
        table.filter(|table| table.root == named.root).ok_or_else(|| self.not_rebuilt())
    }

    /// The blocks that the remaining table has but no index lists, as ranges of the volume's bytes.
    fn missing(&self) -> impl Iterator<Item = (u64, Range<u64>)> {
        let of_map = self.checksums.stored().map(|(block, _)| block).filter(|block| self.map.get(*block) == [0; 12]);
        let of_checksums =
            self.map.stored().map(|(block, _)| block).filter(|block| self.checksums.get(*block) == [0; 32]);
        // If both tables are lost, they contain the same blocks.
        let mut blocks = of_map.chain(of_checksums).peekable();
        std::iter::from_fn(move || {
            let first = blocks.next()?;
            let mut end = first + 1;
            while blocks.next_if_eq(&end).is_some() {
                end += 1;
            }
            let end_bytes = self.geometry.offset_bytes(end).min(self.geometry.volume_bytes());
            Some((end - first, self.geometry.offset_bytes(first)..end_bytes))
        })
    }

    fn what(&self) -> &'static str {
        match self.lost {
            Rebuilt { map: true, checksums: true } => "map and checksums",
            Rebuilt { map: true, .. } => "map",
            _ => "checksums",
        }
    }

    fn not_rebuilt(&self) -> RepositoryError {
        let Manifest { volume, backup, .. } = self.manifest.clone();
        RepositoryError::NotRebuilt { what: self.what(), volume, backup, why: self.why() }
    }

    fn why(&self) -> String {
        let (mut blocks, mut ranges) = (0, Vec::new());
        for (count, Range { start, end }) in self.missing() {
            blocks += count;
            ranges.push(format!("{start}..{end}"));
        }
        let mut why = match (blocks, self.lost) {
            (0, Rebuilt { map: true, checksums: true }) => {
                "the content of the segments does not match the manifest: without both tables, blocks that have \
                 become zeros cannot be distinguished from stored blocks"
                    .to_owned()
            }
            (0, _) => format!(
                "every block was found, but the table does not match its hash in the manifest; try the version that \
                 made it, {:?}",
                self.manifest.tool
            ),
            _ => format!("{blocks} blocks are in no index that can be read (bytes {})", first_few(&ranges, ", ")),
        };
        if !self.unusable.is_empty() {
            // Writing to a string can't fail.
            let _ = write!(why, "; unusable segments: {}", first_few(&self.unusable, "; "));
        }
        why
    }
}

/// Whether an index's value is acceptable: it equals the known entry, or the entry of a lost table is not known yet.
fn fits<const BYTES: usize>(lost: bool, known: [u8; BYTES], said: [u8; BYTES]) -> bool {
    known == if lost { [0; BYTES] } else { said }
}

/// Returns a whole table, or `None` if it is missing or damaged.
fn whole<T>(loaded: Result<T>) -> Result<Option<T>> {
    match loaded {
        Err(error) if error.is_damage() => Ok(None),
        loaded => loaded.map(Some),
    }
}

fn first_few(texts: &[String], separator: &str) -> String {
    let named = texts.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(separator);
    match texts.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named}{separator}and {more} more"),
    }
}

#[cfg(test)]
mod tests;
