//! Finds the ranges in which a file holds data, so that holes are not read.

use std::fs::File;
use std::io;
use std::ops::Range;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::units::BLOCK_BYTES;

/// The first extent that holds data at or behind `offset`.
pub(crate) fn next_data(file: &File, offset: u64) -> io::Result<Option<Range<u64>>> {
    let start = match seek(file, SeekFrom::Data(offset)) {
        Err(Errno::NXIO) => return Ok(None),
        other => other?,
    };
    Ok(Some(start..seek(file, SeekFrom::Hole(start))?))
}

/// Every extent of `file` that holds data, in order.
pub(crate) fn data(file: &File) -> io::Result<Vec<Range<u64>>> {
    let mut extents: Vec<Range<u64>> = Vec::new();
    while let Some(extent) = next_data(file, extents.last().map_or(0, |last| last.end))? {
        extents.push(extent);
    }
    Ok(extents)
}

/// Every run of blocks of `file` that hold data: what a backup by blocks reads.
pub(crate) fn blocks(file: &File) -> io::Result<Vec<Range<u64>>> {
    let bytes = file.metadata()?.len();
    let block = BLOCK_BYTES as u64;
    let mut runs: Vec<Range<u64>> = Vec::new();
    for extent in data(file)? {
        let (start, end) = (extent.start / block * block, extent.end.next_multiple_of(block).min(bytes));
        match runs.last_mut() {
            Some(last) if start <= last.end => last.end = end,
            _ => runs.push(start..end),
        }
    }
    Ok(runs)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    /// The total length of `extents`, bytes.
    pub(crate) fn total(extents: &[Range<u64>]) -> u64 {
        extents.iter().map(|extent| extent.end - extent.start).sum()
    }

    fn file(bytes: u64, written: &[(u64, usize)]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(bytes).unwrap();
        for &(offset, len) in written {
            file.write_all_at(&vec![1; len], offset).unwrap();
        }
        file
    }

    #[test]
    fn holes_are_left_out_and_blocks_are_rounded_and_merged() {
        let block = BLOCK_BYTES as u64;
        let file = file(10 * block, &[(block + 8192, 4096), (2 * block, 4096), (9 * block, 8192)]);
        assert_eq!(total(&data(&file).unwrap()), 4096 + 4096 + 8192);
        assert_eq!(blocks(&file).unwrap(), [block..3 * block, 9 * block..10 * block]);
    }

    #[test]
    fn the_last_block_ends_where_the_file_ends() {
        assert_eq!(blocks(&file(8192, &[(4096, 4096)])).unwrap(), vec![0..8192_u64; 1]);
        assert!(data(&file(1 << 20, &[])).unwrap().is_empty());
        assert!(data(&file(0, &[])).unwrap().is_empty());
    }
}
