//! Which segments the finished map references, and in which row.
//!
//! During the backup the rows are the parent's, followed by this backup's own. A segment of which no block is left is
//! dropped from the table, so that a deletion can remove it. Later rows then move up.

use septet_format::{Location, MAP_ENTRY_BYTES, padded};
use septet_ipc::{Failure, Table};

const ENTRY_BYTES: usize = MAP_ENTRY_BYTES as usize;
/// Entries that are processed at a time.
const CHUNK_ENTRIES: u64 = 16384;

/// What is left of each row.
pub(crate) struct Rows {
    /// For each old row: the bytes of its segment that the map references, including padding.
    pub(crate) live_bytes: Vec<u64>,
    /// For each old row: its new row, if any block of it is left.
    new_row: Vec<Option<u32>>,
}

impl Rows {
    /// Counts what the map references in each of `count` rows. Calls `step` while it reads a large map.
    pub(crate) fn count(map: &Table, count: usize, step: impl Fn()) -> Result<Self, Failure> {
        let mut live_bytes = vec![0u64; count];
        let mut chunk = vec![0; ENTRY_BYTES * 16384];
        let mut first = 0;
        while first < map.entries() {
            let entries = (map.entries() - first).min(CHUNK_ENTRIES);
            let bytes = &mut chunk[..ENTRY_BYTES * usize::try_from(entries).map_err(Failure::protocol)?];
            map.read(first, bytes)?;
            for entry in bytes.as_chunks::<ENTRY_BYTES>().0 {
                if let Some(location) = Location::decode(entry).map_err(Failure::damaged)? {
                    let live = live_bytes.get_mut(location.segment as usize);
                    *live.ok_or_else(|| {
                        Failure::damaged("the parent's map names a segment that its manifest does not contain")
                    })? += padded(location.stored_bytes);
                }
            }
            first += entries;
            step();
        }
        let mut next = 0..;
        let new_row = live_bytes.iter().map(|&live| if live > 0 { next.next() } else { None }).collect();
        Ok(Self { live_bytes, new_row })
    }

    /// Reads the map's entries, starting at entry `first`, and converts them to the new rows.
    pub(crate) fn read(&self, map: &Table, first: u64, into: &mut [u8]) -> Result<(), Failure> {
        map.read(first, into)?;
        for entry in into.as_chunks_mut::<ENTRY_BYTES>().0 {
            if let Some(mut location) = Location::decode(entry).map_err(Failure::damaged)? {
                let row = self.new_row.get(location.segment as usize).copied().flatten();
                location.segment = row.ok_or_else(|| Failure::damaged("the map changed while it was written"))?;
                *entry = Location::encode(Some(&location));
            }
        }
        Ok(())
    }
}
