//! How a volume is divided into blocks.
//!
//! Block *n* covers the bytes from `n × block_bytes` on. Only the last block may be shorter. A geometry has at most
//! [`BLOCKS_MAX`] blocks, which bounds every table and directory that is read for it.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::{FormatError, Result};

/// The default block size: 1 MiB.
pub const BLOCK_BYTES_DEFAULT: u32 = 1 << 20;
/// The smallest block size for writing: 64 KiB.
pub const BLOCK_BYTES_MIN: u32 = 64 << 10;
/// The largest block size for writing: 4 MiB.
pub const BLOCK_BYTES_MAX: u32 = 4 << 20;
/// The smallest block size that readers accept: 4 KiB.
pub const BLOCK_BYTES_READ_MIN: u32 = 4 << 10;
/// The largest block size that readers accept: 8 MiB. A stored length has 24 bits, too few for a raw block of 16 MiB.
pub const BLOCK_BYTES_READ_MAX: u32 = 8 << 20;
/// The most blocks of one volume, 2³²: 4 PiB in blocks of 1 MiB, 256 TiB in blocks of 64 KiB.
pub const BLOCKS_MAX: u64 = 1 << 32;

/// A volume's length and block size, both within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Geometry {
    volume_bytes: u64,
    block_bytes: u32,
}

impl Geometry {
    /// Checks a geometry for reading: a block size that is a power of two from 4 KiB to 8 MiB, and at most
    /// [`BLOCKS_MAX`] blocks.
    pub fn new(volume_bytes: u64, block_bytes: u32) -> Result<Self> {
        let sizes = BLOCK_BYTES_READ_MIN..=BLOCK_BYTES_READ_MAX;
        if !block_bytes.is_power_of_two() || !sizes.contains(&block_bytes) {
            return invalid(format!("a block of {block_bytes} bytes; it must be a power of two from 4 KiB to 8 MiB"));
        }
        let volume_bytes_max = BLOCKS_MAX * u64::from(block_bytes);
        if volume_bytes > volume_bytes_max {
            return invalid(format!(
                "a volume of {volume_bytes} bytes; with blocks of {block_bytes} bytes at most \
                 {volume_bytes_max} are possible: choose a larger block"
            ));
        }
        Ok(Self { volume_bytes, block_bytes })
    }

    /// Checks a geometry for writing: the same with a block size from 64 KiB to 4 MiB.
    pub fn for_writing(volume_bytes: u64, block_bytes: u32) -> Result<Self> {
        if !(BLOCK_BYTES_MIN..=BLOCK_BYTES_MAX).contains(&block_bytes) {
            return invalid(format!("a block of {block_bytes} bytes; backups are made with 64 KiB to 4 MiB"));
        }
        Self::new(volume_bytes, block_bytes)
    }

    /// The volume's length in bytes.
    pub fn volume_bytes(&self) -> u64 {
        self.volume_bytes
    }

    /// The block size in bytes. The last block may be shorter.
    pub fn block_bytes(&self) -> u32 {
        self.block_bytes
    }

    /// The number of blocks. Zero for an empty volume.
    pub fn blocks(&self) -> u64 {
        self.volume_bytes.div_ceil(u64::from(self.block_bytes))
    }

    /// The block that covers the byte at `offset_bytes`.
    pub fn block_at(&self, offset_bytes: u64) -> u64 {
        offset_bytes / u64::from(self.block_bytes)
    }

    /// Where `block` starts in the volume.
    pub fn offset_bytes(&self, block: u64) -> u64 {
        block.saturating_mul(u64::from(self.block_bytes))
    }

    /// The length of `block`. The last block may be shorter than the others. 0 beyond the last block.
    pub fn len_bytes(&self, block: u64) -> u32 {
        let left = self.volume_bytes.saturating_sub(self.offset_bytes(block));
        u32::try_from(left).map_or(self.block_bytes, |left| left.min(self.block_bytes))
    }

    /// Whether the range covers only whole blocks. A short last block counts as whole.
    pub fn is_whole_blocks(&self, range: &Range<u64>) -> bool {
        let block_bytes = u64::from(self.block_bytes);
        let is_edge = |offset: u64| offset.is_multiple_of(block_bytes);
        is_edge(range.start) && (is_edge(range.end) || range.end == self.volume_bytes) && range.end <= self.volume_bytes
    }
}

fn invalid<T>(why: String) -> Result<T> {
    Err(FormatError::InvalidGeometry { why })
}

#[derive(Deserialize)]
struct Unchecked {
    volume_bytes: u64,
    block_bytes: u32,
}

impl TryFrom<Unchecked> for Geometry {
    type Error = FormatError;

    fn try_from(raw: Unchecked) -> Result<Self> {
        Self::new(raw.volume_bytes, raw.block_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blocks_are_powers_of_two_in_bounds() {
        for good in [1 << 16, 1 << 20, 1 << 22] {
            assert!(Geometry::new(1, good).is_ok() && Geometry::for_writing(1, good).is_ok(), "{good}");
        }
        for read_only in [1 << 12, 1 << 15, 1 << 23] {
            assert!(Geometry::new(1, read_only).is_ok() && Geometry::for_writing(1, read_only).is_err(), "{read_only}");
        }
        for bad in [0, 1, 512, 1 << 11, (1 << 20) + 1, 3 << 16, 1 << 24, u32::MAX] {
            assert!(Geometry::new(1, bad).is_err() && Geometry::for_writing(1, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_largest_volume_has_blocks_max_blocks() {
        let bytes = BLOCKS_MAX << 16;
        assert_eq!(Geometry::new(bytes, 1 << 16).unwrap().blocks(), BLOCKS_MAX);
        assert!(Geometry::new(bytes + 1, 1 << 16).is_err());
        assert!(Geometry::new(u64::MAX, BLOCK_BYTES_READ_MAX).is_err());
    }

    #[test]
    fn an_empty_volume_has_no_blocks_and_one_byte_has_one() {
        assert_eq!(Geometry::new(0, BLOCK_BYTES_DEFAULT).unwrap().blocks(), 0);
        let one = Geometry::new(1, BLOCK_BYTES_DEFAULT).unwrap();
        assert_eq!((one.blocks(), one.len_bytes(0), one.len_bytes(1)), (1, 1, 0));
        assert_eq!(one.len_bytes(u64::MAX), 0);
    }

    #[test]
    fn serde_checks_on_the_way_in() {
        let json = r#"{"volume_bytes":9,"block_bytes":65536}"#;
        let geometry: Geometry = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&geometry).unwrap(), json);
        let bad = json.replace("65536", "7");
        assert!(serde_json::from_str::<Geometry>(&bad).is_err());
    }

    proptest! {
        #[test]
        fn blocks_tile_the_volume(volume_bytes in 0u64..1 << 26, shift in 16u32..=22) {
            let geometry = Geometry::new(volume_bytes, 1 << shift).unwrap();
            let mut end = 0;
            for block in 0..geometry.blocks() {
                prop_assert_eq!(geometry.offset_bytes(block), end);
                prop_assert!(geometry.len_bytes(block) > 0);
                prop_assert_eq!(geometry.block_at(end), block);
                end += u64::from(geometry.len_bytes(block));
                prop_assert_eq!(geometry.block_at(end - 1), block);
            }
            prop_assert_eq!(end, volume_bytes);
        }
    }
}
