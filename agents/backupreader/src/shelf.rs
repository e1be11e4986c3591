//! The blocks that a restore needs next, from all extents that its workers are handling.
//!
//! Blocks lie in a segment in the order in which they were ready. So where two extents meet, their blocks are
//! interleaved. Read extent by extent, a restore of 1 GiB took 297 requests to S3. Read by position, across extents, it
//! takes 190.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::fetch::{Wanted, runs};

/// Segment, offset in it, offset in the volume. The last is needed because a corrupt map may name one position twice.
type Place = (u32, u64, u64);

/// The blocks that are needed and not being read yet.
pub(crate) struct Shelf {
    wanted: Mutex<BTreeMap<Place, Wanted>>,
    run_bytes_max: u64,
}

impl Shelf {
    pub(crate) fn new(run_bytes_max: u64) -> Self {
        Self { wanted: Mutex::default(), run_bytes_max }
    }

    /// Adds blocks. The caller must then take as many, or continue until the shelf is empty. So no block is left
    /// behind.
    pub(crate) fn put(&self, blocks: Vec<Wanted>) {
        self.wanted().extend(blocks.into_iter().map(|block| (place(&block), block)));
    }

    /// Takes neighbours to read with one request. Returns the first run of at least 7/8 of the limit, otherwise the
    /// longest run.
    pub(crate) fn take(&self) -> Option<Vec<Wanted>> {
        let mut wanted = self.wanted();
        let run = longest(wanted.values().collect(), self.run_bytes_max)?;
        Some(run.into_iter().filter_map(|place| wanted.remove(&place)).collect())
    }

    fn wanted(&self) -> MutexGuard<'_, BTreeMap<Place, Wanted>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(block: &Wanted) -> Place {
    (block.segment, block.offset_bytes, block.command.offset)
}

fn longest(wanted: Vec<&Wanted>, run_bytes_max: u64) -> Option<Vec<Place>> {
    let mut best: Vec<&Wanted> = Vec::new();
    for run in runs(wanted, run_bytes_max) {
        if bytes(&run) > bytes(&best) {
            best = run;
        }
        if bytes(&best) >= run_bytes_max - run_bytes_max / 8 {
            break;
        }
    }
    (!best.is_empty()).then(|| best.into_iter().map(place).collect())
}

fn bytes(run: &[&Wanted]) -> u64 {
    run.first().zip(run.last()).map_or(0, |(first, last)| last.end_bytes() - first.offset_bytes)
}

#[cfg(test)]
mod tests {
    use septet_ipc::{Command, State};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn block(segment: u32, at_mib: u64, volume_mib: u64) -> Wanted {
        let command = Command::new(volume_mib * MIB, MIB, State::Data);
        Wanted { segment, offset_bytes: at_mib * MIB, stored_bytes: 1 << 20, command }
    }

    fn taken(shelf: &Shelf) -> Vec<Vec<u64>> {
        std::iter::from_fn(|| shelf.take())
            .map(|run| run.iter().map(|block| block.command.offset / MIB).collect())
            .collect()
    }

    #[test]
    fn blocks_of_mixed_extents_are_read_as_they_lie() {
        let shelf = Shelf::new(4 * MIB);
        shelf.put(vec![block(0, 0, 0), block(0, 2, 1), block(0, 5, 2)]);
        shelf.put(vec![block(0, 1, 3), block(0, 3, 4), block(0, 4, 5)]);
        assert_eq!(taken(&shelf), vec![vec![0, 3, 1, 4], vec![5, 2]]);
    }

    #[test]
    fn the_most_come_first_and_segments_divide() {
        let shelf = Shelf::new(8 * MIB);
        shelf.put(vec![block(0, 7, 0), block(1, 8, 1), block(1, 9, 2)]);
        assert_eq!(taken(&shelf), vec![vec![1, 2], vec![0]]);
    }

    #[test]
    fn one_place_that_is_named_twice_is_read_twice() {
        let shelf = Shelf::new(8 * MIB);
        shelf.put(vec![block(0, 0, 0), block(0, 0, 1)]);
        assert_eq!(taken(&shelf), vec![vec![0], vec![1]]);
    }
}
