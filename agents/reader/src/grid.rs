//! A volume's extents on the block grid: pieces of whole blocks that are holes or may hold data.
//!
//! Data is rounded out to whole blocks and holes shrink accordingly, so every block is in exactly one piece. Adjacent
//! pieces of the same kind are merged: a hole of a terabyte is one piece.

use std::iter::FusedIterator;
use std::ops::Range;

use septet_ipc::State;
use septet_volume::{ExtentKind, Source, VolumeError};

/// The pieces of a range, in order.
pub(crate) struct Grid<'a> {
    source: &'a dyn Source,
    block_bytes: u64,
    at: u64,
    end: u64,
    /// The next piece. It was read ahead and differs in kind from the last one returned.
    ahead: Option<(State, Range<u64>)>,
}

impl<'a> Grid<'a> {
    /// The pieces of `range`, which consists of whole blocks (the volume's last may be short).
    pub(crate) fn new(source: &'a dyn Source, block_bytes: u32, range: Range<u64>) -> Self {
        Self { source, block_bytes: u64::from(block_bytes), at: range.start, end: range.end, ahead: None }
    }

    /// The next piece before merging.
    fn piece(&mut self) -> Result<Option<(State, Range<u64>)>, VolumeError> {
        if self.at >= self.end {
            return Ok(None);
        }
        let start = self.at;
        let extent = self.source.next_extent(start, self.end)?;
        let extent_end = start.saturating_add(extent.size_bytes).min(self.end);
        let whole_blocks_end =
            if extent_end == self.end { self.end } else { extent_end - extent_end % self.block_bytes };
        let (state, end) = match state_of(extent.kind) {
            // This hole does not fill its block. The rest of the block may be data, so the block is read.
            state if state != State::Present && whole_blocks_end <= start => (State::Present, self.block_end(start)),
            State::Present => (State::Present, self.block_end(extent_end.saturating_sub(1).max(start))),
            state => (state, whole_blocks_end),
        };
        self.at = end;
        Ok(Some((state, start..end)))
    }

    /// The end of the block that holds the byte at `offset`.
    fn block_end(&self, offset: u64) -> u64 {
        (offset - offset % self.block_bytes).saturating_add(self.block_bytes).min(self.end)
    }
}

fn state_of(kind: ExtentKind) -> State {
    match kind {
        ExtentKind::Data => State::Present,
        ExtentKind::Hole => State::Hole,
        ExtentKind::Unchanged => State::Kept,
    }
}

impl Iterator for Grid<'_> {
    type Item = Result<(State, Range<u64>), VolumeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (state, mut range) = match self.ahead.take() {
            Some(piece) => piece,
            None => match self.piece() {
                Ok(piece) => piece?,
                Err(error) => return Some(Err(error)),
            },
        };
        loop {
            match self.piece() {
                Ok(Some((next, more))) if next == state => range.end = more.end,
                Ok(other) => {
                    self.ahead = other;
                    return Some(Ok((state, range)));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl FusedIterator for Grid<'_> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use septet_volume::Extent;

    use super::*;

    const BLOCK: u32 = 64;

    /// A volume that is defined by which of its bytes are data.
    struct Model(Vec<bool>);

    impl Source for Model {
        fn bytes(&self) -> u64 {
            self.0.len() as u64
        }

        fn describe(&self) -> String {
            "a model".to_owned()
        }

        fn next_extent(&self, offset_bytes: u64, end_bytes: u64) -> Result<Extent, VolumeError> {
            let rest = &self.0[place(offset_bytes)..place(end_bytes)];
            let size = rest.iter().position(|&data| data != rest[0]).unwrap_or(rest.len());
            let kind = if rest[0] { ExtentKind::Data } else { ExtentKind::Hole };
            Ok(Extent { offset_bytes, size_bytes: size as u64, kind })
        }

        fn read_at(&self, _: u64, _: &mut [u8]) -> Result<(), VolumeError> {
            unreachable!("the grid reads nothing")
        }

        fn check_size(&self) -> Result<Option<u64>, VolumeError> {
            Ok(None)
        }
    }

    fn place(offset: u64) -> usize {
        usize::try_from(offset).unwrap()
    }

    fn pieces(model: &Model) -> Vec<(State, Range<u64>)> {
        Grid::new(model, BLOCK, 0..model.bytes()).map(Result::unwrap).collect()
    }

    #[test]
    fn a_hole_is_one_piece_whatever_its_size() {
        assert_eq!(pieces(&Model(vec![false; 100_000])), vec![(State::Hole, 0..100_000)]);
    }

    proptest! {
        #[test]
        fn every_block_is_in_one_piece_and_none_with_data_is_a_hole(
            runs in prop::collection::vec((any::<bool>(), 1usize..200), 0..20)
        ) {
            let model = Model(runs.iter().flat_map(|&(data, len)| vec![data; len]).collect());
            let pieces = pieces(&model);
            let mut at = 0;
            for (index, (state, range)) in pieces.iter().enumerate() {
                prop_assert_eq!(range.start, at);
                prop_assert!(range.end.is_multiple_of(u64::from(BLOCK)) || range.end == model.bytes());
                prop_assert!(index == 0 || pieces[index - 1].0 != *state, "neighbours of one kind");
                for block in (range.start..range.end).step_by(BLOCK as usize) {
                    let end = (block + u64::from(BLOCK)).min(model.bytes());
                    let data = model.0[place(block)..place(end)].contains(&true);
                    prop_assert_eq!(*state == State::Present, data, "block at {}", block);
                }
                at = range.end;
            }
            prop_assert_eq!(at, model.bytes());
        }
    }
}
