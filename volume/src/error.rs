//! Errors of volumes. Each is one line with the volume, the range and what to do.
//!
//! [`reason`] turns the operating system's error numbers into text.

use std::fmt;

use rustix::io::Errno;

/// The bytes from `start` up to but not including `end`. Displayed as `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// The first byte after the range.
    pub end: u64,
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// An error of a volume. `volume` is its path or another name that the user knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says what its fields are")]
pub enum VolumeError {
    /// It does not exist.
    #[error("{volume} does not exist: check the path")]
    NotFound { volume: String },

    /// It exists, but cannot be backed up or restored to.
    #[error("{volume} is {what}: name a regular file or a block device")]
    NotAVolume { volume: String, what: &'static str },

    /// This user has no permission.
    #[error("{volume}: cannot {action}: permission denied; {advice}")]
    NotPermitted { volume: String, action: &'static str, advice: &'static str },

    /// The target exists, and the user did not ask to overwrite it.
    #[error("{volume} exists; add --overwrite to overwrite it")]
    Exists { volume: String },

    /// The target device is smaller than the volume.
    #[error(
        "{volume} is too small: it has {bytes} bytes and the volume has {volume_bytes}; name a device of at least that size"
    )]
    TooSmall { volume: String, bytes: u64, volume_bytes: u64 },

    /// This host uses the target. Writing to it would corrupt its file system or other user.
    #[error("{volume} is in use: {by}; {advice}")]
    InUse { volume: String, by: String, advice: &'static str },

    /// A read failed. `ranges` cannot be read. `more` is true if there are further ranges.
    #[error("{volume}: bytes {} cannot be read ({reason}); check the storage below it", join(ranges, *more))]
    Unreadable { volume: String, ranges: Vec<ByteRange>, more: bool, reason: String },

    /// A write failed.
    #[error("{volume}: bytes {range} cannot be written ({reason}); check the storage below it")]
    Unwritable { volume: String, range: ByteRange, reason: String },

    /// There is not enough space for the volume.
    #[error("{volume}: {reason}; free some space or name another target")]
    NoSpace { volume: String, reason: String },

    /// The source became smaller while it was read.
    #[error(
        "{volume} shrank from {from_bytes} to {to_bytes} bytes while it was read; back it up again while nothing resizes it"
    )]
    Shrank { volume: String, from_bytes: u64, to_bytes: u64 },

    /// A request beyond the volume's end.
    #[error("{volume}: bytes {range} are not within the volume of {bytes} bytes")]
    OutOfRange { volume: String, range: ByteRange, bytes: u64 },

    /// Anything else.
    #[error("{volume}: cannot {action}: {reason}")]
    Io { volume: String, action: &'static str, reason: String },
}

fn join(ranges: &[ByteRange], more: bool) -> String {
    let mut text = ranges.iter().map(ByteRange::to_string).collect::<Vec<_>>().join(", ");
    if more {
        text.push_str(" and more");
    }
    text
}

/// The cause as lower-case text, without the error number.
pub(crate) fn reason(errno: Errno) -> String {
    let text = errno.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = words.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_range_is_named_in_one_line() {
        let ranges =
            vec![ByteRange { start: 1_048_576, end: 1_052_672 }, ByteRange { start: 2_097_152, end: 2_101_248 }];
        let volume = "/dev/vdb".to_owned();
        let error = VolumeError::Unreadable { volume, ranges, more: true, reason: reason(Errno::IO) };
        assert_eq!(
            error.to_string(),
            "/dev/vdb: bytes 1048576..1052672, 2097152..2101248 and more cannot be read \
             (input/output error); check the storage below it"
        );
    }

    #[test]
    fn a_reason_is_words_without_a_number() {
        assert_eq!(reason(Errno::NOSPC), "no space left on device");
        assert_eq!(reason(Errno::ROFS), "read-only file system");
    }
}
