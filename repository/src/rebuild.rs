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

/// How many ranges or segments an error names before it only counts.
const NAMED_MAX: usize = 3;

/// An entry that no map can have: it has a place, and names no segment.
const NOWHERE: [u8; 12] = [0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0];

/// Which tables were lost or damaged, and have been made anew; neither, if nothing was wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// The map.
    pub map: bool,
    /// The checksums.
    pub checksums: bool,
}

/// Makes those tables of a backup anew that are missing or damaged. `progress` is told after each
/// segment's index how many have been read, and of how many.
///
/// Segments whose index can't be read are done without. `NotRebuilt` if then something is missing: the
/// error says what, and nothing has been written. Needs up to 88 bytes of memory a block.
pub fn rebuild(repository: &Repository, manifest: &Manifest, progress: &mut dyn FnMut(u64, u64)) -> Result<Rebuilt> {
    let mut tables = Tables::load(repository, manifest)?;
    if tables.lost != Rebuilt::default() {
        tables.fill(progress);
        tables.store()?;
    }
    Ok(tables.lost)
}

/// Both tables of a backup, one of them made anew as far as it could be.
pub(crate) struct Mended {
    pub(crate) checksums: Entries<32>,
    /// Of a block whose place isn't known, an entry that no map can have.
    pub(crate) map: Entries<12>,
    /// Which one was made anew.
    pub(crate) what: &'static str,
}

/// Makes of a damaged table what can be made of it, in memory: `NotRebuilt` if without the other one
/// nothing proves which blocks the backup has.
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

/// The tables of one backup; those that are lost begin empty.
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

    /// Takes what the segments say, the newest first.
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
        // A volume may have been cut or grown since: a block of another length is another block.
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

    /// Writes the lost tables, if they are the very ones.
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

    /// The table's object, if it is as long as the manifest says.
    fn object<const BYTES: usize>(&self, entries: &Entries<BYTES>, named: TableRef) -> Result<Vec<u8>> {
        let table = self.encode(entries, named)?;
        if table.object.len() as u64 == named.bytes { Ok(table.object) } else { Err(self.not_rebuilt()) }
    }

    /// The packed table, if it is the one that the manifest names.
    fn encode<const BYTES: usize>(&self, entries: &Entries<BYTES>, named: TableRef) -> Result<EncodedTable> {
        // A hostile manifest may name far more blocks than a table of this length can have.
        let possible = entries.object_bytes_min() <= named.bytes;
        let table = possible.then(|| entries.encode().ok()).flatten();
        table.filter(|table| table.root == named.root).ok_or_else(|| self.not_rebuilt())
    }

    /// The blocks that the table that is left knows and no index did, as ranges of the volume's bytes.
    fn missing(&self) -> impl Iterator<Item = (u64, Range<u64>)> {
        let of_map = self.checksums.stored().map(|(block, _)| block).filter(|block| self.map.get(*block) == [0; 12]);
        let of_checksums =
            self.map.stored().map(|(block, _)| block).filter(|block| self.checksums.get(*block) == [0; 32]);
        // With both lost, both have the same blocks.
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
                "what the segments hold does not match the manifest: without both, blocks that have become zeros \
                 cannot be told from those that are stored"
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

/// Whether what an index says may be an entry's: the entry is this, or not known yet if it was lost.
fn fits<const BYTES: usize>(lost: bool, known: [u8; BYTES], said: [u8; BYTES]) -> bool {
    known == if lost { [0; BYTES] } else { said }
}

/// A table that is whole; `None` for one that is missing or damaged.
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
