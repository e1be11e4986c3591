//! Finds which ranges of a volume are damaged.
//!
//! A verification reads every segment once, however many backups share it, and collects the damage in
//! [`DamagedSegments`]. [`damaged_ranges`] then checks one backup. Its tables must be whole. Each of its blocks must
//! lie at a place where the segment's index lists this very block. That place must not be damaged. Together these
//! checks prove that the backup can be restored.

mod damaged_segments;

mod index_cache;
mod quick;
mod sample;

pub use damaged_segments::DamagedSegments;
pub use index_cache::IndexCache;
pub use quick::QuickLook;
pub use sample::Sample;

use crate::entries::Entries;
use crate::{Repository, Result, TableKind};
use damaged_segments::DamagedSegment;
use index_cache::Index;
use septet_format::{BlockHash, Geometry, Location, Manifest, SegmentRef};
use std::sync::Arc;

/// Adjacent bytes of a volume that can't be restored for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedRange {
    /// The start of the range in the volume.
    pub offset_bytes: u64,
    /// The length of the range; 0 only for an empty volume.
    pub size_bytes: u64,
    /// The cause.
    pub reason: String,
}

/// The damaged ranges of one backup, in order; none if the backup is whole. `damaged` is the damage found in the
/// segments of the backup's volume. With a `sample`, only the segments that it touches are checked. Needs up to 52
/// bytes of memory per block, besides the indexes.
pub fn damaged_ranges(
    repository: &Repository,
    manifest: &Manifest,
    damaged: &DamagedSegments,
    indexes: &mut IndexCache,
    sample: Option<&Sample>,
) -> Result<Vec<DamagedRange>> {
    let key = manifest.key();
    let geometry = manifest.geometry().map_err(|cause| repository.object_error(&key, cause))?;
    let map = Entries::load(repository, manifest, TableKind::Map);
    let tables = map.and_then(|map| Ok((map, Entries::load(repository, manifest, TableKind::Checksums)?)));
    let (map, checksums) = match tables {
        Err(error) if error.is_damage() => return Ok(vec![whole_volume(&geometry, &error.to_string())]),
        tables => tables?,
    };
    let mut audit = Audit { geometry, map, checksums, found: Vec::new() };
    let blocks = audit.blocks_by_row();
    let mut blocks = blocks.as_slice();
    indexes.begin_backup();
    for (row, source, segment) in manifest.segment_rows() {
        let (here, rest) = blocks.split_at(blocks.partition_point(|(of, _)| *of <= row));
        blocks = rest;
        let id = source.segment_id(segment);
        let wanted = sample.is_none_or(|sample| sample.touches(&id, segment.bytes));
        if wanted && !here.is_empty() {
            let key = source.segment_key(segment);
            let index = indexes.get(repository, source, segment)?;
            audit.check_row(here, &Row { key, segment, index, damaged: damaged.of(&id) });
        }
    }
    audit.fail_all(blocks, "its map names a segment that its manifest does not contain");
    Ok(audit.ranges())
}

fn whole_volume(geometry: &Geometry, why: &str) -> DamagedRange {
    let reason = format!("{why}; `septet rebuild` may help");
    DamagedRange { offset_bytes: 0, size_bytes: geometry.volume_bytes(), reason }
}

/// The check of one backup.
struct Audit {
    geometry: Geometry,
    map: Entries<12>,
    checksums: Entries<32>,
    /// Adjacent blocks with the same reason: the first block, the one after the last, and the reason.
    found: Vec<(u64, u64, Arc<str>)>,
}

/// A segment in which some blocks of the backup lie.
struct Row<'a> {
    key: String,
    segment: &'a SegmentRef,
    /// The content of the segment, or why it is unknown.
    index: Arc<Result<Index, String>>,
    damaged: Option<&'a DamagedSegment>,
}

impl Audit {
    /// Every stored block with its row, sorted. Blocks without a row are recorded as damaged.
    fn blocks_by_row(&mut self) -> Vec<(u32, u32)> {
        let (mut blocks, mut nowhere) = (Vec::new(), Vec::new());
        for (block, entry) in self.map.stored() {
            match (u32::try_from(block), Location::decode(entry)) {
                (Ok(block), Ok(Some(location))) if self.checksums.get(u64::from(block)) != [0; 32] => {
                    blocks.push((location.segment, block));
                }
                (_, Err(cause)) => nowhere.push((block, Arc::from(cause.to_string()))),
                _ => nowhere.push((block, "its map names it, but its checksums say that it is zeros".into())),
            }
        }
        let unmapped = self.checksums.stored().map(|(block, _)| block).filter(|block| self.map.get(*block) == [0; 12]);
        let reason: Arc<str> = "its checksums name it, but its map does not".into();
        nowhere.extend(unmapped.map(|block| (block, reason.clone())));
        nowhere.into_iter().for_each(|(block, reason)| self.fail(block, &reason));
        blocks.sort_unstable();
        blocks
    }

    fn check_row(&mut self, blocks: &[(u32, u32)], row: &Row) {
        let whole = row.damaged.and_then(|damaged| damaged.whole.as_ref());
        let index = match (whole, &*row.index) {
            (None, Ok(index)) => index,
            (Some(reason), _) => return self.fail_all(blocks, &row.named(reason)),
            (_, Err(reason)) => return self.fail_all(blocks, reason),
        };
        let elsewhere: Arc<str> = format!("{}: its index has no such block at this place", row.key).into();
        for (_, block) in blocks {
            let block = u64::from(*block);
            match self.location(block, row, index) {
                None => self.fail(block, &elsewhere),
                Some(location) => {
                    if let Some(reason) = row.damaged.and_then(|damaged| damaged.at(&location)) {
                        self.fail(block, &row.named(reason));
                    }
                }
            }
        }
    }

    /// The location of a block, if the segment's index agrees with the map and the checksums.
    fn location(&self, block: u64, row: &Row, index: &Index) -> Option<Location> {
        let location = Location::decode(&self.map.get(block)).ok()??;
        location.check(self.geometry.len_bytes(block), row.segment.bytes).ok()?;
        let entry = index.at(location.offset_bytes)?;
        let same = entry.block == block
            && entry.hash == BlockHash::from(self.checksums.get(block))
            && (entry.stored_bytes, entry.codec) == (location.stored_bytes, location.codec);
        same.then_some(location)
    }

    fn fail_all(&mut self, blocks: &[(u32, u32)], reason: &str) {
        let reason = reason.into();
        blocks.iter().for_each(|(_, block)| self.fail(u64::from(*block), &reason));
    }

    fn fail(&mut self, block: u64, reason: &Arc<str>) {
        match self.found.last_mut() {
            Some((_, end, why)) if *end == block && why == reason => *end += 1,
            _ => self.found.push((block, block + 1, reason.clone())),
        }
    }

    fn ranges(mut self) -> Vec<DamagedRange> {
        self.found.sort_unstable_by_key(|(first, ..)| *first);
        let mut ranges: Vec<DamagedRange> = Vec::new();
        for (first, end, reason) in self.found {
            let offset_bytes = self.geometry.offset_bytes(first);
            let end_bytes = self.geometry.offset_bytes(end).min(self.geometry.volume_bytes());
            let size_bytes = end_bytes - offset_bytes;
            match ranges.last_mut() {
                Some(last) if last.offset_bytes + last.size_bytes == offset_bytes && last.reason == *reason => {
                    last.size_bytes += size_bytes;
                }
                _ => ranges.push(DamagedRange { offset_bytes, size_bytes, reason: reason.to_string() }),
            }
        }
        ranges
    }
}

impl Row<'_> {
    /// Adds the segment's key to the reason.
    fn named(&self, reason: &str) -> Arc<str> {
        if reason.contains(&self.key) { reason.into() } else { format!("{}: {reason}", self.key).into() }
    }
}

#[cfg(test)]
mod tests;
