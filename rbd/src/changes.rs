//! What Ceph reports about an image's bytes, one window at a time: data, holes, and unchanged ranges.
//!
//! librbd reports extents in any order and any number, and they may overlap. They are noted here on a grid whose cells
//! (grains) are as large as the smallest block. So memory is bounded for any size of the image and any distribution of
//! changes. A grain that contains data, or is only partly zero, must be read.

use std::ops::Range;

use septet_volume::ExtentKind;

/// How many bytes of an image one query to Ceph covers.
pub(crate) const WINDOW_BYTES: u64 = 16 << 30;
/// The grid's cell: the smallest block, in bytes.
const GRAIN_BYTES: u64 = 64 << 10;

/// A window of an image, and the kind of each of its grains.
pub(crate) struct Window {
    start: u64,
    end: u64,
    grains: Vec<ExtentKind>,
}

impl Window {
    /// A window that starts at a multiple of the grain and holds only `kind`.
    pub(crate) fn new(range: Range<u64>, kind: ExtentKind) -> Self {
        let grains = range.end.saturating_sub(range.start).div_ceil(GRAIN_BYTES).min(WINDOW_BYTES / GRAIN_BYTES);
        Self { start: range.start, end: range.end, grains: vec![kind; usize::try_from(grains).unwrap_or(0)] }
    }

    pub(crate) fn contains(&self, offset: u64) -> bool {
        (self.start..self.end).contains(&offset)
    }

    /// Notes that the range is of this kind. Data marks each grain that it touches. Any other kind marks only grains
    /// that it covers fully and that are not data. Grains that it covers partly become data.
    pub(crate) fn note(&mut self, range: Range<u64>, kind: ExtentKind) {
        let range = range.start.max(self.start)..range.end.min(self.end);
        if range.is_empty() {
            return;
        }
        let (first, last) = (self.grain_at(range.start), self.grain_at(range.end - 1));
        for place in first..=last {
            let covered = self.range_of(place);
            let whole = range.start <= covered.start && covered.end <= range.end;
            let grain = &mut self.grains[place];
            if *grain != ExtentKind::Data {
                *grain = if whole { kind } else { ExtentKind::Data };
            }
        }
    }

    /// The extent that begins at `offset` and ends at `end` or earlier. `offset` must be in the window.
    pub(crate) fn extent(&self, offset: u64, end: u64) -> (u64, ExtentKind) {
        let first = self.grain_at(offset);
        let kind = self.grains[first];
        let same = self.grains[first..].iter().take_while(|next| **next == kind).count();
        (self.range_of(first + same - 1).end.min(end), kind)
    }

    fn grain_at(&self, offset: u64) -> usize {
        usize::try_from((offset - self.start) / GRAIN_BYTES).unwrap_or(usize::MAX)
    }

    fn range_of(&self, place: usize) -> Range<u64> {
        let start = self.start + place as u64 * GRAIN_BYTES;
        start..(start + GRAIN_BYTES).min(self.end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: u64 = 10 * GRAIN_BYTES;

    fn extents(window: &Window) -> Vec<(Range<u64>, ExtentKind)> {
        let mut found = Vec::new();
        let mut at = window.start;
        while at < window.end {
            let (end, kind) = window.extent(at, window.end);
            found.push((at..end, kind));
            at = end;
        }
        found
    }

    #[test]
    fn what_nobody_speaks_of_is_one_extent() {
        let window = Window::new(START..START + WINDOW_BYTES, ExtentKind::Unchanged);
        assert_eq!(extents(&window), vec![(START..START + WINDOW_BYTES, ExtentKind::Unchanged)]);
    }

    #[test]
    fn zeros_up_to_an_odd_end_are_a_hole() {
        let end = START + 2 * GRAIN_BYTES + 5;
        let mut window = Window::new(START..end, ExtentKind::Unchanged);
        window.note(START + GRAIN_BYTES..end, ExtentKind::Hole);
        let kept = START..START + GRAIN_BYTES;
        assert_eq!(extents(&window), vec![(kept.clone(), ExtentKind::Unchanged), (kept.end..end, ExtentKind::Hole)]);
    }

    proptest! {
        #[test]
        fn nothing_that_changed_is_called_unchanged_and_no_data_a_hole(
            bytes in 1u64..(20 * GRAIN_BYTES),
            found in prop::collection::vec((0u64..21 * GRAIN_BYTES, 1u64..5 * GRAIN_BYTES, any::<bool>()), 0..12),
        ) {
            let end = START + bytes;
            let mut window = Window::new(START..end, ExtentKind::Unchanged);
            for (offset, length, data) in &found {
                let kind = if *data { ExtentKind::Data } else { ExtentKind::Hole };
                window.note(START - GRAIN_BYTES + offset..START - GRAIN_BYTES + offset + length, kind);
            }
            let touches = |range: &Range<u64>, (offset, length, _): &(u64, u64, bool)| {
                let start = START - GRAIN_BYTES + offset;
                start < range.end && range.start < start + length
            };
            for (range, kind) in extents(&window) {
                match kind {
                    ExtentKind::Unchanged => prop_assert!(!found.iter().any(|one| touches(&range, one))),
                    ExtentKind::Hole => prop_assert!(!found.iter().any(|one| one.2 && touches(&range, one))),
                    ExtentKind::Data => prop_assert!(found.iter().any(|one| touches(&range, one))),
                }
            }
        }
    }
}
