//! Tracks which chunks of a pool have memory. Each chunk gets memory when it is first needed. The first chunks then
//! keep it. The others give it back when it is no longer needed.

use std::collections::BTreeSet;
use std::ops::Range;

/// Which parts of a pool have memory, counted in units.
#[derive(Debug)]
pub(super) struct Growth {
    /// How many units at the start of the pool keep their memory once they have it.
    first: u32,
    all: u32,
    /// The length of a chunk. The last chunk may be shorter.
    chunk: u32,
    /// The starts of the chunks without memory.
    missing: BTreeSet<u32>,
    there: u32,
    most: u32,
    most_lately: u32,
}

impl Growth {
    /// Tracks a pool of up to `all` units, in chunks of `chunk` units (at least one). No chunk has memory yet. The
    /// first `first` units, rounded to whole chunks, keep their memory once they have it.
    pub(super) fn new(first: u32, all: u32, chunk: u32) -> Self {
        let chunk = chunk.max(1);
        let first = first.checked_next_multiple_of(chunk).map_or(all, |first| first.min(all));
        let missing = (0..all).step_by(chunk as usize).collect();
        Self { first, all, chunk, missing, there: 0, most: 0, most_lately: 0 }
    }

    /// How many units keep their memory once they have it.
    pub(super) fn first(&self) -> u32 {
        self.first
    }

    /// How many units have memory now.
    pub(super) fn there(&self) -> u32 {
        self.there
    }

    /// The largest number of units that had memory at once.
    pub(super) fn most(&self) -> u32 {
        self.most
    }

    /// The same, since the last call of this function.
    pub(super) fn most_lately(&mut self) -> u32 {
        std::mem::replace(&mut self.most_lately, self.there)
    }

    /// The first chunk without memory.
    pub(super) fn missing(&self) -> Option<Range<u32>> {
        self.missing.first().map(|&start| self.chunk(start))
    }

    /// The first chunk without memory among those that keep it.
    pub(super) fn missing_of_first(&self) -> Option<Range<u32>> {
        self.missing().filter(|chunk| chunk.start < self.first)
    }

    /// The last chunk that lies entirely within one of these runs and does not keep its memory.
    pub(super) fn last_within(&self, mut runs: impl Iterator<Item = Range<u32>>) -> Option<Range<u32>> {
        runs.find_map(|run| {
            // The pool's last chunk may be shorter.
            let chunks = if run.end == self.all { run.end.div_ceil(self.chunk) } else { run.end / self.chunk };
            let chunk = self.chunk(chunks.checked_sub(1)? * self.chunk);
            (chunk.start >= run.start.max(self.first)).then_some(chunk)
        })
    }

    /// Records that a missing chunk now has memory.
    pub(super) fn came(&mut self, chunk: &Range<u32>) {
        self.missing.remove(&chunk.start);
        self.there += chunk.end - chunk.start;
        self.most = self.most.max(self.there);
        self.most_lately = self.most_lately.max(self.there);
    }

    /// Records that a chunk no longer has memory.
    pub(super) fn went(&mut self, chunk: &Range<u32>) {
        self.missing.insert(chunk.start);
        self.there -= chunk.end - chunk.start;
    }

    fn chunk(&self, start: u32) -> Range<u32> {
        start..start.saturating_add(self.chunk).min(self.all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_and_go_and_the_first_units_stay() {
        let mut growth = Growth::new(3, 13, 4);
        assert_eq!((growth.first(), growth.there()), (4, 0));
        for chunk in [0..4, 4..8, 8..12, 12..13] {
            assert_eq!(growth.missing(), Some(chunk.clone()));
            growth.came(&chunk);
        }
        assert_eq!((growth.missing(), growth.there(), growth.most()), (None, 13, 13));
        growth.went(&(4..8));
        assert_eq!((growth.missing(), growth.there(), growth.most()), (Some(4..8), 9, 13));
        assert_eq!((growth.most_lately(), growth.most_lately()), (13, 9));
    }

    #[test]
    fn only_a_chunk_that_is_whole_is_found() {
        let growth = Growth::new(4, 13, 4);
        let last = |runs: &[(u32, u32)]| growth.last_within(runs.iter().map(|&(start, end)| start..end));
        assert_eq!(last(&[(0, 4)]), None, "the first units stay");
        assert_eq!(last(&[(5, 12)]), Some(8..12));
        assert_eq!(last(&[(9, 13), (3, 9)]), Some(12..13));
        assert_eq!(last(&[(9, 12), (3, 9)]), Some(4..8));
        assert_eq!(last(&[(0, 13)]), Some(12..13));
        assert_eq!(last(&[(9, 11), (5, 8), (1, 4)]), None);
    }
}
