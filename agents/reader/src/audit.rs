//! The audit of the change tracking: a sample of the blocks that the storage reports as unchanged is read anyway, and
//! must match the parent's checksums.
//!
//! The blocks are divided into groups, and one random block of each group is read. So the sample covers every stretch
//! of the volume, and even a small volume has a sample. The parent's checksums pass here on their way to `diff`. An
//! entry changes only after its block has left here, so it can be read here until then.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::io::dup;
use septet_format::{BlockHash, Geometry};
use septet_ipc::message::TableKind;
use septet_ipc::{Failure, FailureKind, State, Table};
use septet_volume::Source;

const ENTRY_BYTES: usize = 32;

/// The sampled blocks, and the checksums to compare them with.
pub(crate) struct Audit {
    geometry: Geometry,
    /// The size of a group: one block of each group is read. None if the audit is off.
    group_blocks: Option<u64>,
    random: RandomState,
    checksums: OnceLock<Table>,
    /// The blocks that were chosen and not read yet.
    chosen: Mutex<BTreeSet<u64>>,
}

impl Audit {
    /// An audit of `ppm` blocks in a million.
    pub(crate) fn new(geometry: Geometry, ppm: u32) -> Self {
        let group_blocks = 1_000_000u64.checked_div(u64::from(ppm)).map(|blocks| blocks.max(1));
        let (checksums, chosen) = (OnceLock::new(), Mutex::default());
        Self { geometry, group_blocks, random: RandomState::new(), checksums, chosen }
    }

    /// Remembers the parent's checksums, which go on to `diff`.
    pub(crate) fn take(&self, table: &Table) -> Result<(), Failure> {
        if self.group_blocks.is_none() || table.kind() != TableKind::Checksums {
            return Ok(());
        }
        let object = dup(table.object()).map_err(|errno| Failure::shared_memory(errno).doing("keeping a table"))?;
        // `diff` rejects a second one.
        let _ = self.checksums.set(Table::attach(table.line().clone(), object)?);
        Ok(())
    }

    /// The answer for a piece: unchanged, or split so that the chosen blocks are read.
    pub(crate) fn choose(&self, state: State, range: Range<u64>) -> Vec<(State, Range<u64>)> {
        let Some(group_blocks) = self.group_blocks.filter(|_| state == State::Kept && !range.is_empty()) else {
            return vec![(state, range)];
        };
        let block_bytes = u64::from(self.geometry.block_bytes());
        let (first, end) = (self.geometry.block_at(range.start), range.end.div_ceil(block_bytes));
        let mut pieces = Vec::new();
        let mut at = range.start;
        for group in first / group_blocks..=(end - 1) / group_blocks {
            let start = group * group_blocks;
            let blocks = group_blocks.min(self.geometry.blocks() - start);
            let block = start + self.random.hash_one(group) % blocks;
            if !(first..end).contains(&block) {
                continue;
            }
            let offset = self.geometry.offset_bytes(block);
            let next = offset + u64::from(self.geometry.len_bytes(block));
            pieces.extend([(State::Kept, at..offset), (State::Present, offset..next)]);
            self.chosen().insert(block);
            at = next;
        }
        pieces.push((State::Kept, at..range.end));
        pieces.retain(|(_, range)| !range.is_empty());
        pieces
    }

    /// Compares a chosen block with the parent's checksum.
    pub(crate) fn check(&self, offset: u64, content: &[u8], source: &dyn Source) -> Result<(), Failure> {
        let block = self.geometry.block_at(offset);
        if self.group_blocks.is_none() || !self.chosen().remove(&block) {
            return Ok(());
        }
        let checksums = self.checksums.get();
        let checksums = checksums
            .ok_or_else(|| Failure::protocol("a block cannot be compared: no table of checksums was received"))?;
        let mut expected = [0; ENTRY_BYTES];
        checksums.read(block, &mut expected)?;
        let expected = BlockHash::from(expected);
        let same =
            if expected.is_zero() { content.iter().all(|byte| *byte == 0) } else { BlockHash::of(content) == expected };
        if same {
            return Ok(());
        }
        let (volume, end) = (source.describe(), offset + content.len() as u64);
        Err(Failure::new(
            FailureKind::Untrusted,
            format!(
                "{volume}: bytes {offset}..{end} are reported as unchanged since the last backup, but they changed"
            ),
        ))
    }

    fn chosen(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.chosen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u64 = 65536;

    fn audit(blocks: u64, ppm: u32) -> Audit {
        Audit::new(Geometry::new(blocks * BLOCK - 5, 65536).unwrap(), ppm)
    }

    fn read(pieces: &[(State, Range<u64>)]) -> u64 {
        let present = pieces.iter().filter(|(state, _)| *state == State::Present);
        present.map(|(_, range)| (range.end - range.start).div_ceil(BLOCK)).sum()
    }

    #[test]
    fn the_sample_is_as_large_as_asked_for_and_the_pieces_cover_the_range() {
        for (blocks, ppm, wanted) in
            [(1000, 10_000, 10), (40, 10_000, 1), (40, 1_000_000, 40), (1000, 500_000, 500), (40, 0, 0)]
        {
            let audit = audit(blocks, ppm);
            let range = 0..blocks * BLOCK - 5;
            let pieces = audit.choose(State::Kept, range.clone());
            assert_eq!(read(&pieces), wanted, "{blocks} blocks, {ppm} ppm");
            assert_eq!((pieces[0].1.start, pieces[pieces.len() - 1].1.end), (range.start, range.end));
            assert!(pieces.windows(2).all(|pair| pair[0].1.end == pair[1].1.start));
        }
    }

    #[test]
    fn what_is_read_anyway_or_a_hole_is_left_as_it_is() {
        for state in [State::Present, State::Hole] {
            assert_eq!(audit(100, 1_000_000).choose(state, 0..10 * BLOCK), vec![(state, 0..10 * BLOCK)]);
        }
    }

    struct Nothing;

    impl Source for Nothing {
        fn bytes(&self) -> u64 {
            0
        }
        fn describe(&self) -> String {
            "the volume".to_owned()
        }
        fn next_extent(&self, _: u64, _: u64) -> Result<septet_volume::Extent, septet_volume::VolumeError> {
            unreachable!("the audit asks nothing")
        }
        fn read_at(&self, _: u64, _: &mut [u8]) -> Result<(), septet_volume::VolumeError> {
            unreachable!("the audit reads nothing")
        }
        fn check_size(&self) -> Result<Option<u64>, septet_volume::VolumeError> {
            Ok(None)
        }
    }

    #[test]
    fn a_chosen_block_that_differs_is_named() {
        let table = Table::create(TableKind::Checksums, 3).unwrap();
        table.write(1, BlockHash::of(b"old").as_bytes()).unwrap();
        let audit = audit(3, 1_000_000);
        audit.take(&table).unwrap();
        let check = |block: u64, content: &[u8]| audit.check(block * BLOCK, content, &Nothing);
        check(1, b"new").expect("it was not chosen");
        for (block, content, right) in
            [(1, &b"old"[..], true), (1, b"new", false), (0, b"\0\0", true), (0, b"\0x", false), (1, b"\0", false)]
        {
            audit.choose(State::Kept, 0..2 * BLOCK);
            let checked = check(block, content);
            assert_eq!(checked.is_ok(), right, "{content:?}");
            assert!(checked.is_ok_and(|()| true) || check(block, content).is_ok(), "it is checked once");
        }
        audit.choose(State::Kept, 0..2 * BLOCK);
        let failure = check(1, b"new").unwrap_err();
        assert!(
            failure.kind == FailureKind::Untrusted && failure.cause.starts_with("the volume: bytes 65536"),
            "{failure}"
        );
    }
}
