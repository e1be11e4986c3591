//! Blocks that need not be read: an interrupted run has already stored them, and the volume has not changed since.
//!
//! The metawriter lists them in a table of one byte per block. The reader answers them as `kept`, like blocks that the
//! volume's storage reports as unchanged.

use std::ops::Range;
use std::sync::OnceLock;

use septet_format::Geometry;
use septet_ipc::message::TableKind;
use septet_ipc::{Failure, State, Table};

/// Entries that are processed at a time.
const CHUNK_ENTRIES: u64 = 65536;

/// The known blocks.
pub(crate) struct Known {
    geometry: Geometry,
    blocks: OnceLock<Table>,
}

impl Known {
    /// Starts without known blocks, until a table comes.
    pub(crate) fn new(geometry: Geometry) -> Self {
        Self { geometry, blocks: OnceLock::new() }
    }

    /// Keeps the table if it lists known blocks. Otherwise returns it.
    pub(crate) fn take(&self, table: Table) -> Result<Option<Table>, Failure> {
        if table.kind() != TableKind::Known {
            return Ok(Some(table));
        }
        let once = || Failure::protocol("the table of known blocks was announced twice");
        self.blocks.set(table).map(|()| None).map_err(|_| once())
    }

    /// Splits a piece of the volume into known and unknown parts.
    pub(crate) fn cut(&self, state: State, range: Range<u64>) -> Result<Vec<(State, Range<u64>)>, Failure> {
        let Some(table) = self.blocks.get().filter(|_| state == State::Present) else {
            return Ok(vec![(state, range)]);
        };
        let (mut block, end) =
            (self.geometry.block_at(range.start), self.blocks_before(range.end).min(table.entries()));
        let mut pieces: Vec<(State, Range<u64>)> = Vec::new();
        while block < end {
            let mut chunk = vec![0; usize::try_from((end - block).min(CHUNK_ENTRIES)).unwrap_or(0)];
            table.read(block, &mut chunk)?;
            for known in &chunk {
                let state = if *known == 0 { State::Present } else { State::Kept };
                let start = self.geometry.offset_bytes(block);
                let next = start + u64::from(self.geometry.len_bytes(block));
                match pieces.last_mut() {
                    Some((last, piece)) if *last == state => piece.end = next,
                    _ => pieces.push((state, start..next)),
                }
                block += 1;
            }
        }
        Ok(pieces)
    }

    fn blocks_before(&self, offset: u64) -> u64 {
        offset.div_ceil(u64::from(self.geometry.block_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u64 = 65536;

    #[test]
    fn known_blocks_are_cut_out_of_what_would_be_read_and_of_nothing_else() {
        let known = Known::new(Geometry::new(5 * BLOCK - 10, 65536).unwrap());
        let whole = 0..5 * BLOCK - 10;
        assert_eq!(known.cut(State::Present, whole.clone()).unwrap(), [(State::Present, whole.clone())]);
        assert!(known.take(Table::create(TableKind::Checksums, 5).unwrap()).unwrap().is_some(), "it is for others");
        let table = Table::create(TableKind::Known, 5).unwrap();
        table.write(1, &[1, 1]).unwrap();
        table.write(4, &[1]).unwrap();
        assert!(known.take(table).unwrap().is_none());
        let expected = [
            (State::Present, 0..BLOCK),
            (State::Kept, BLOCK..3 * BLOCK),
            (State::Present, 3 * BLOCK..4 * BLOCK),
            (State::Kept, 4 * BLOCK..5 * BLOCK - 10),
        ];
        assert_eq!(known.cut(State::Present, whole.clone()).unwrap(), expected);
        assert_eq!(
            known.cut(State::Present, 2 * BLOCK..4 * BLOCK).unwrap(),
            [(State::Kept, 2 * BLOCK..3 * BLOCK), expected[2].clone()]
        );
        assert_eq!(known.cut(State::Hole, whole.clone()).unwrap(), [(State::Hole, whole)]);
        assert!(known.take(Table::create(TableKind::Known, 5).unwrap()).is_err());
    }
}
