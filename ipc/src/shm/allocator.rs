//! Tracks which units of a pool are free: a first-fit allocator of runs of units.
//!
//! First fit reuses the lowest addresses. So a pool that is larger than its current use keeps working on the part that
//! is still in the cache.

use std::collections::BTreeMap;
use std::ops::Range;

/// The free and the taken runs of a pool. A new allocator has no units.
#[derive(Debug, Default)]
pub(super) struct Allocator {
    /// Start → length of each free run. Adjacent free runs are always merged.
    free: BTreeMap<u32, u32>,
    /// Start → length of each taken run.
    taken: BTreeMap<u32, u32>,
    used: Used,
}

/// How full a pool was after each take, in units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) now: u32,
    /// The maximum.
    pub(super) most: u32,
    /// The sum over all takes.
    pub(super) sum: u64,
    pub(super) takes: u64,
}

impl Allocator {
    /// Takes `units` (at least one) in a row. Returns the first of them.
    pub(super) fn take(&mut self, units: u32) -> Option<u32> {
        let units = units.max(1);
        let (&start, &len) = self.free.iter().find(|&(_, &len)| len >= units)?;
        self.free.remove(&start);
        if len > units {
            self.free.insert(start + units, len - units);
        }
        self.taken.insert(start, units);
        self.used.take(units);
        Some(start)
    }

    /// Gives the run that starts at `start` back. Returns false if no such run is taken.
    pub(super) fn give_back(&mut self, start: u32) -> bool {
        let Some(units) = self.taken.remove(&start) else { return false };
        self.used.now -= units;
        self.insert_free(start, units);
        true
    }

    /// Splits the taken run at `start` after its first `keep` units. Both parts are then given back separately. Returns
    /// the start of the second, if there is one.
    pub(super) fn split(&mut self, start: u32, keep: u32) -> Option<u32> {
        let units = self.taken.get_mut(&start)?;
        let keep = keep.max(1);
        if keep >= *units {
            return None;
        }
        let rest = *units - keep;
        *units = keep;
        self.taken.insert(start + keep, rest);
        Some(start + keep)
    }

    /// Adds new units. They are free.
    pub(super) fn add(&mut self, units: Range<u32>) {
        self.insert_free(units.start, units.end - units.start);
    }

    /// Removes free units for good. All of them must be free.
    pub(super) fn withdraw(&mut self, units: Range<u32>) {
        let Some((&start, &len)) = self.free.range(..=units.start).next_back() else { return };
        self.free.remove(&start);
        for rest in [start..units.start, units.end..start + len] {
            if !rest.is_empty() {
                self.free.insert(rest.start, rest.end - rest.start);
            }
        }
    }

    /// The free runs, from the last to the first.
    pub(super) fn free_from_the_end(&self) -> impl Iterator<Item = Range<u32>> {
        self.free.iter().rev().map(|(&start, &len)| start..start + len)
    }

    /// How full the pool was.
    pub(super) fn used(&self) -> Used {
        self.used
    }

    /// The number of taken runs.
    pub(super) fn taken(&self) -> usize {
        self.taken.len()
    }

    fn insert_free(&mut self, mut start: u32, mut units: u32) {
        if let Some((&before, &len)) = self.free.range(..start).next_back()
            && before + len == start
        {
            self.free.remove(&before);
            start = before;
            units += len;
        }
        if let Some(len) = self.free.remove(&(start + units)) {
            units += len;
        }
        self.free.insert(start, units);
    }
}

impl Used {
    fn take(&mut self, units: u32) {
        self.now += units;
        self.most = self.most.max(self.now);
        self.sum += u64::from(self.now);
        self.takes += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with_free(units: u32) -> Allocator {
        let mut allocator = Allocator::default();
        allocator.add(0..units);
        allocator
    }

    #[test]
    fn a_full_pool_gives_nothing_until_something_comes_back() {
        let mut pool = with_free(4);
        let a = pool.take(3).unwrap();
        assert_eq!(pool.take(2), None);
        assert_eq!(pool.take(1), Some(3));
        assert!(pool.give_back(a));
        assert!(!pool.give_back(a), "a second release of the same slot must be noticed");
        assert_eq!(pool.take(2), Some(0));
        assert_eq!(pool.used(), Used { now: 3, most: 4, sum: 3 + 4 + 3, takes: 3 });
    }

    #[test]
    fn a_split_run_comes_back_in_parts() {
        let mut pool = with_free(8);
        let start = pool.take(8).unwrap();
        let second = pool.split(start, 3).unwrap();
        assert_eq!(second, 3);
        assert!(pool.give_back(second));
        assert_eq!(pool.take(6), None);
        assert!(pool.give_back(start));
        assert_eq!(pool.take(8), Some(0));
    }

    proptest! {
        #[test]
        fn runs_never_overlap_and_all_comes_back(steps in prop::collection::vec((any::<bool>(), 1u32..9), 1..200)) {
            let mut pool = with_free(32);
            let mut held: Vec<(u32, u32)> = Vec::new();
            for (take, n) in steps {
                if take {
                    if let Some(start) = pool.take(n) {
                        prop_assert!(start + n <= 32);
                        prop_assert!(held.iter().all(|&(s, l)| start + n <= s || s + l <= start));
                        held.push((start, n));
                    }
                } else if !held.is_empty() {
                    let (start, _) = held.swap_remove(n as usize % held.len());
                    prop_assert!(pool.give_back(start));
                }
            }
            for (start, _) in held {
                prop_assert!(pool.give_back(start));
            }
            prop_assert_eq!(pool.take(32), Some(0));
        }
    }
}
