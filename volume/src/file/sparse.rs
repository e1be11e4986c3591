//! Writes a block to a new file so that runs of zeros inside the block stay holes.
//!
//! Whole pages of zeros are not written, so that they become holes. The block's range may have been allocated before.
//! So one call punches a hole from the block's first page of zeros to its last. Then the data is written through the
//! page cache. A block without a page of zeros is written by one direct call into the allocated range.
//!
//! Measured on ext4, 256 MiB with one page of zeros in ten: 0.25 s. Direct writes of each run of data took 0.55 s, and
//! punching out each run of zeros after a write of the whole block took as long.

use std::ops::Range;

use rustix::io::Errno;

use super::target::FileTarget;

/// Holes start and end at multiples of this. It is also the length of the shortest hole.
const PAGE_BYTES: usize = 4096;

impl FileTarget {
    /// Writes all of `buf` to a file that this target created. The range must be within the volume.
    pub(super) fn write_sparse(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), Errno> {
        let Some(zeros) = pages_of_zeros(offset_bytes, buf) else {
            return self.write(offset_bytes, buf);
        };
        // A failure does no harm: the file was created empty, so bytes that are not written read as zeros.
        self.deallocate(offset_bytes + zeros.start as u64, zeros.len() as u64);
        runs_of_data(offset_bytes, buf)
            .try_for_each(|run| self.write_cached(offset_bytes + run.start as u64, &buf[run]))?;
        self.begin_to_write_out(offset_bytes, buf.len() as u64);
        Ok(())
    }
}

/// The range from the first page of zeros to the end of the last one, if there is any.
fn pages_of_zeros(offset_bytes: u64, buf: &[u8]) -> Option<Range<usize>> {
    let is_page_of_zeros = |piece: &Range<usize>| piece.len() == PAGE_BYTES && is_zero(&buf[piece.clone()]);
    let first = pieces(offset_bytes, buf.len()).find(is_page_of_zeros)?;
    let last = pieces(offset_bytes, buf.len()).filter(is_page_of_zeros).last()?;
    Some(first.start..last.end)
}

/// The longest runs of data between pages of zeros.
fn runs_of_data(offset_bytes: u64, buf: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let is_data = |piece: &Range<usize>| piece.len() < PAGE_BYTES || !is_zero(&buf[piece.clone()]);
    let mut pieces = pieces(offset_bytes, buf.len());
    std::iter::from_fn(move || {
        let first = pieces.find(is_data)?;
        // This consumes the first page of zeros after the run. The page is not part of a run.
        let last = pieces.by_ref().take_while(is_data).last();
        Some(first.start..last.map_or(first.end, |last| last.end))
    })
}

/// The parts of a buffer, cut at the file's page boundaries. The first and the last may be shorter than a page.
fn pieces(offset_bytes: u64, bytes: usize) -> impl Iterator<Item = Range<usize>> {
    let into_page = usize::try_from(offset_bytes % PAGE_BYTES as u64).unwrap_or(0);
    let mut start = 0;
    std::iter::from_fn(move || {
        let end = ((start + into_page) / PAGE_BYTES + 1) * PAGE_BYTES - into_page;
        let piece = start..end.min(bytes);
        start = piece.end;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Whether all bytes are zero. For nearly all data, the first few bytes decide.
fn is_zero(bytes: &[u8]) -> bool {
    // Without an early exit inside a chunk, the compiler can vectorize the loop.
    bytes.chunks(256).all(|chunk| chunk.iter().fold(0, |any, byte| any | byte) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A buffer of `bytes` data bytes, with zeros in the given ranges.
    fn buffer(bytes: usize, zeros: &[(usize, usize)]) -> Vec<u8> {
        let mut buf = vec![1; bytes];
        for &(start, end) in zeros {
            buf[start..end].fill(0);
        }
        buf
    }

    fn runs(offset_bytes: u64, buf: &[u8]) -> Vec<(usize, usize)> {
        runs_of_data(offset_bytes, buf).map(|run| (run.start, run.end)).collect()
    }

    #[test]
    fn a_page_counts_as_it_lies_in_the_file_and_not_in_the_buffer() {
        let buf = buffer(20000, &[(4096, 8192)]);
        assert_eq!(pages_of_zeros(0, &buf), Some(4096..8192));
        assert_eq!(runs(8192, &buf), [(0, 4096), (8192, 20000)]);
        assert_eq!((pages_of_zeros(1, &buf), pages_of_zeros(4095, &buf)), (None, None));
        let buf = buffer(20000, &[(4000, 9000)]);
        assert_eq!(pages_of_zeros(1, &buf), Some(4095..8191));
        assert_eq!(runs(1, &buf), [(0, 4095), (8191, 20000)]);
    }

    #[test]
    fn zeros_at_both_ends_and_in_between_are_left_out() {
        let buf = buffer(7 * 4096, &[(0, 8192), (12288, 16384), (24576, 28672)]);
        assert_eq!(pages_of_zeros(0, &buf), Some(0..28672));
        assert_eq!(runs(0, &buf), [(8192, 12288), (16384, 24576)]);
    }

    #[test]
    fn a_part_of_a_page_is_written_even_if_it_is_zero() {
        let buf = buffer(4096 + 100, &[(0, 4196)]);
        assert_eq!((pages_of_zeros(0, &buf), runs(0, &buf)), (Some(0..4096), vec![(4096, 4196)]));
        assert_eq!((pages_of_zeros(50, &buf), runs(50, &buf)), (None, vec![(0, 4196)]));
        assert_eq!((pages_of_zeros(0, &[]), runs(0, &[])), (None, vec![]));
        let nothing = vec![0; 8192];
        assert_eq!((pages_of_zeros(0, &nothing), runs(0, &nothing)), (Some(0..8192), vec![]));
    }
}
