//! Selects the part of the segments that a sampling verification reads.
//!
//! Segments are cut into stretches of the length that suits the store's reads. A hash of a stretch's segment
//! and number gives it a place on a circle. Each round reads the next arc of the circle. So the stretches of one round
//! are scattered over the repository, and 20 rounds of 5 % read everything once.

use septet_format::{BlockHash, SegmentId};

const WHOLE_PPM: u64 = 1_000_000;

/// A part of all segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    stretch_bytes: u64,
    start_ppm: u64,
    ppm: u64,
}

impl Sample {
    /// The sample of a round: `ppm` parts per million of all stretches.
    pub fn new(stretch_bytes: u64, ppm: u32, round: u64) -> Self {
        let ppm = u64::from(ppm).min(WHOLE_PPM);
        Self { stretch_bytes: stretch_bytes.max(1), start_ppm: (round % WHOLE_PPM) * ppm % WHOLE_PPM, ppm }
    }

    /// Whether the sample contains the block at this offset in the segment.
    pub fn has(&self, segment: &SegmentId, offset_bytes: u64) -> bool {
        let stretch = offset_bytes / self.stretch_bytes;
        let hash = BlockHash::of(format!("{segment}/{stretch}").as_bytes());
        let place = hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)) % WHOLE_PPM;
        (place + WHOLE_PPM - self.start_ppm) % WHOLE_PPM < self.ppm
    }

    /// Whether the sample contains any part of a segment of this length.
    pub fn touches(&self, segment: &SegmentId, bytes: u64) -> bool {
        let stretches = bytes.div_ceil(self.stretch_bytes);
        (0..stretches).any(|stretch| self.has(segment, stretch * self.stretch_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(number: u32) -> SegmentId {
        SegmentId { volume: "v".parse().unwrap(), backup: "b".parse().unwrap(), number }
    }

    #[test]
    fn the_rounds_of_a_cycle_have_every_stretch_once_and_each_has_its_share() {
        for first in [0, 7, u64::MAX] {
            let mut taken = [0; 20];
            for stretch in 0..4000 {
                let rounds: Vec<usize> = (0..20)
                    .filter(|round| {
                        let sample = Sample::new(4096, 50_000, (first % 1_000_000) + *round as u64);
                        sample.has(&segment(3), stretch * 4096 + 5)
                    })
                    .collect();
                assert_eq!(rounds.len(), 1, "stretch {stretch}");
                taken[rounds[0]] += 1;
            }
            assert!(taken.iter().all(|share| (100..320).contains(share)), "{taken:?}");
        }
    }

    #[test]
    fn all_is_all_and_what_has_no_part_is_not_touched() {
        assert!((0..100).all(|at| Sample::new(4096, 1_000_000, 5).has(&segment(at), 0)));
        assert!((0..100).all(|at| !Sample::new(4096, 0, 5).touches(&segment(at), 1 << 20)));
        let sample = Sample::new(4096, 100_000, 5);
        for number in 0..100 {
            let has = (0..8).any(|at| sample.has(&segment(number), at * 4096));
            assert_eq!(sample.touches(&segment(number), 8 * 4096), has);
        }
    }
}
