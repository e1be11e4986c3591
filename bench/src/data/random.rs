//! Random bytes and choices from a seed: BLAKE3's output, which can be read at any position.

/// An endless stream of random bytes.
#[derive(Clone)]
pub(crate) struct Stream {
    output: blake3::OutputReader,
    key: [u8; 32],
}

impl Stream {
    /// The stream of this seed and name.
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        Self::of(blake3::Hasher::new().update(&seed.to_le_bytes()).update(name.as_bytes()))
    }

    /// Another stream, derived from this one and `name`.
    pub(crate) fn child(&self, name: &str) -> Self {
        Self::of(blake3::Hasher::new_keyed(&self.key).update(name.as_bytes()))
    }

    fn of(hasher: &blake3::Hasher) -> Self {
        Self { output: hasher.finalize_xof(), key: *hasher.finalize().as_bytes() }
    }

    /// Fills `bytes` with the stream's bytes from `position` on.
    pub(crate) fn fill(&self, position: u64, bytes: &mut [u8]) {
        let mut output = self.output.clone();
        output.set_position(position);
        output.fill(bytes);
    }

    /// The stream's `index`-th number, below `bound`, which is not 0.
    pub(crate) fn below(&self, index: u64, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.fill(index * 8, &mut bytes);
        u64::from_le_bytes(bytes) % bound
    }

    /// `count` different numbers below `total`, in ascending order; all of them if there are fewer.
    pub(crate) fn pick(&self, count: u64, total: u64) -> Vec<u64> {
        let mut picked = Vec::new();
        for number in 0..total {
            let wanted = count.saturating_sub(picked.len() as u64);
            if self.below(number, total - number) < wanted {
                picked.push(number);
            }
        }
        picked
    }

    /// About `share` of the numbers below `total`, and at least one.
    pub(crate) fn pick_share(&self, share: f64, total: u64) -> Vec<u64> {
        #[allow(clippy::cast_possible_truncation, reason = "a share of a u64 is one")]
        let count = (total as f64 * share).round() as u64;
        self.pick(count.max(1), total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_wherever_it_is_entered() {
        let stream = Stream::new(1, "x");
        let (mut whole, mut part) = ([0; 1000], [0; 100]);
        stream.fill(0, &mut whole);
        stream.fill(333, &mut part);
        assert_eq!(whole[333..433], part);
    }

    #[test]
    fn seeds_names_and_children_all_differ() {
        let streams = [Stream::new(1, "x"), Stream::new(2, "x"), Stream::new(1, "y"), Stream::new(1, "x").child("x")];
        let starts = streams.map(|stream| stream.below(0, u64::MAX));
        assert!((1..4).all(|i| !starts[..i].contains(&starts[i])), "{starts:?}");
    }

    #[test]
    fn exactly_as_many_are_picked_as_asked_for() {
        let stream = Stream::new(1, "x");
        for (count, total) in [(0, 10), (1, 10), (10, 10), (99, 10), (70, 1000)] {
            let picked = stream.pick(count, total);
            assert_eq!(picked.len() as u64, count.min(total));
            assert!(picked.is_sorted_by(|a, b| a < b) && picked.iter().all(|&number| number < total));
        }
        assert_eq!(stream.pick_share(0.07, 1000).len(), 70);
        assert_eq!(stream.pick_share(0.01, 8).len(), 1);
    }
}
