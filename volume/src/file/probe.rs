//! Finds the bytes of a block that cannot be read.
//!
//! After a read error the block is read again in small pieces. The error names the pieces that fail. If every piece
//! succeeds, the error was transient and the block is complete.

use rustix::io::Errno;

use crate::VolumeError;
use crate::error::{ByteRange, reason};

/// The smallest range that an error names.
const PIECE_BYTES: usize = 4096;
/// The most ranges that are reported. The search stops at the next one, because a dying disk takes seconds for each.
const RANGES_MAX: usize = 4;

/// Reads the block in pieces by `read` after it failed with `errno`. Fails with the ranges that can't be read. If the
/// volume now ends within the block, fails with the error of `shrank`.
pub(super) fn read_around(
    volume: &str,
    offset_bytes: u64,
    buf: &mut [u8],
    errno: Errno,
    read: impl Fn(u64, &mut [u8]) -> Result<usize, Errno>,
    shrank: impl Fn(u64) -> VolumeError,
) -> Result<(), VolumeError> {
    let whole = ByteRange { start: offset_bytes, end: offset_bytes + buf.len() as u64 };
    if !is_medium_error(errno) {
        return Err(unreadable(volume, vec![whole], false, errno));
    }
    let mut bad = BadRanges::default();
    let mut start = offset_bytes;
    for piece in buf.chunks_mut(PIECE_BYTES) {
        let end = start + piece.len() as u64;
        match read(start, piece) {
            Ok(bytes) if bytes == piece.len() => {}
            Ok(bytes) => return Err(shrank(start + bytes as u64)),
            Err(_) => bad.add(ByteRange { start, end }),
        }
        if bad.more {
            break;
        }
        start = end;
    }
    if bad.ranges.is_empty() { Ok(()) } else { Err(unreadable(volume, bad.ranges, bad.more, errno)) }
}

#[derive(Default)]
struct BadRanges {
    ranges: Vec<ByteRange>,
    more: bool,
}

impl BadRanges {
    /// Adds a range that starts at or after the end of the last one.
    fn add(&mut self, range: ByteRange) {
        let full = self.ranges.len() == RANGES_MAX;
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ if full => self.more = true,
            _ => self.ranges.push(range),
        }
    }
}

/// Whether only a part of the medium is bad. Otherwise the whole device is gone.
fn is_medium_error(errno: Errno) -> bool {
    const MEDIUM: [Errno; 5] = [Errno::IO, Errno::REMOTEIO, Errno::NODATA, Errno::BADMSG, Errno::ILSEQ];
    MEDIUM.contains(&errno)
}

fn unreadable(volume: &str, ranges: Vec<ByteRange>, more: bool, errno: Errno) -> VolumeError {
    VolumeError::Unreadable { volume: volume.to_owned(), ranges, more, reason: reason(errno) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_range_and_only_a_few_are_kept() {
        let range = |start| ByteRange { start, end: start + 1 };
        let mut bad = BadRanges::default();
        for start in [0, 1, 2, 5, 7, 9] {
            bad.add(range(start));
        }
        assert_eq!(bad.ranges, [ByteRange { start: 0, end: 3 }, range(5), range(7), range(9)]);
        assert!(!bad.more);
        bad.add(range(10));
        assert!(!bad.more, "9..11 is one range");
        bad.add(range(12));
        assert!(bad.more);
    }
}
