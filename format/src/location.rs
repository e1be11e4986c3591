//! The location of a block: an entry of `map`.
//!
//! Each entry has twelve bytes. If all are zero, nothing is stored and the block reads as zeros. Otherwise the entry
//! names a row of the manifest's segment table and an offset in that segment.

use crate::codec::Codec;
use crate::error::{Result, damaged, ensure};
use crate::layout::map_entry as at;
use crate::layout::{OFFSET_UNIT_BYTES, put, u32_at};
use crate::segment::READ_ALIGN;

const WHAT: &str = "map entry";

/// Where the bytes of one block are stored, and how to decode them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// The row in the manifest's segment table. Rows are counted from 0 across the segments of all sources.
    pub segment: u32,
    /// The offset of the stored bytes in that segment. A multiple of [`READ_ALIGN`].
    pub offset_bytes: u64,
    /// The number of stored bytes: at least 1, less than 16 MiB.
    pub stored_bytes: u32,
    /// How to decode them.
    pub codec: Codec,
}

impl Location {
    /// Packs an entry. `None` means that the block reads as zeros.
    ///
    /// # Panics
    /// If a field is out of its documented bounds. That would be our own bug, and a truncated entry would point to
    /// another block's bytes.
    pub fn encode(location: Option<&Self>) -> [u8; at::BYTES] {
        let mut bytes = [0; at::BYTES];
        if let Some(location) = location {
            assert!(location.stored_bytes > 0, "a location of nothing");
            assert!(location.offset_bytes.is_multiple_of(READ_ALIGN), "unaligned location");
            put(&mut bytes, at::SEGMENT, u64::from(location.segment) + 1);
            put(&mut bytes, at::OFFSET, location.offset_bytes / OFFSET_UNIT_BYTES);
            put(&mut bytes, at::STORED_BYTES, location.stored_bytes);
            put(&mut bytes, at::CODEC, u8::from(location.codec));
        }
        bytes
    }

    /// Unpacks an entry. `None` means that the block reads as zeros.
    pub fn decode(bytes: &[u8; at::BYTES]) -> Result<Option<Self>> {
        let Some(segment) = u32_at(bytes, at::SEGMENT).checked_sub(1) else {
            return match bytes.iter().all(|byte| *byte == 0) {
                true => Ok(None),
                false => damaged(WHAT, "names no segment but is not all zero"),
            };
        };
        let location = Self {
            segment,
            offset_bytes: u64::from(u32_at(bytes, at::OFFSET)) * OFFSET_UNIT_BYTES,
            stored_bytes: u32_at(bytes, at::STORED_BYTES),
            codec: Codec::try_from(bytes[at::CODEC.start])?,
        };
        ensure(location.stored_bytes > 0, WHAT, || "0 bytes are stored")?;
        Ok(Some(location))
    }

    /// Checks that a block of `block_bytes` can be stored here, in a segment of `segment_bytes`. Call this before
    /// reading, with the block's length from [`crate::Geometry::len_bytes`] and the segment's length from the
    /// manifest's row.
    pub fn check(&self, block_bytes: u32, segment_bytes: u64) -> Result<()> {
        let Self { offset_bytes, stored_bytes, codec, .. } = *self;
        check_stored_bytes(WHAT, codec, stored_bytes, block_bytes)?;
        let end_bytes = offset_bytes + u64::from(stored_bytes).next_multiple_of(READ_ALIGN);
        ensure(end_bytes <= segment_bytes, WHAT, || {
            format!(
                "{stored_bytes} bytes at {offset_bytes} reach beyond the segment's end at \
                 {segment_bytes}"
            )
        })
    }
}

/// Checks the stored length against the decoded length. It is never longer, and equal for a raw block.
pub(crate) fn check_stored_bytes(
    what: &'static str,
    codec: Codec,
    stored_bytes: u32,
    decoded_bytes: u32,
) -> Result<()> {
    let fits = match codec {
        Codec::Raw => stored_bytes == decoded_bytes,
        Codec::Lz4 => (1..=decoded_bytes).contains(&stored_bytes),
    };
    ensure(fits, what, || format!("{stored_bytes} stored bytes ({codec:?}) cannot decode to {decoded_bytes} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_location() -> impl Strategy<Value = Location> {
        (0..u32::MAX, 0u64..1 << 32, 1u32..1 << 24, 0u8..2).prop_map(|(segment, unit, stored, c)| Location {
            segment,
            offset_bytes: unit * READ_ALIGN,
            stored_bytes: stored,
            codec: Codec::try_from(c).unwrap(),
        })
    }

    proptest! {
        #[test]
        fn an_entry_round_trips(location in any_location()) {
            let bytes = Location::encode(Some(&location));
            prop_assert_eq!(Location::decode(&bytes).unwrap(), Some(location));
        }

        #[test]
        fn any_bytes_are_refused_or_mean_exactly_themselves(bytes: [u8; 12]) {
            if let Ok(location) = Location::decode(&bytes) {
                prop_assert_eq!(Location::encode(location.as_ref()), bytes);
            }
        }
    }

    #[test]
    fn nothing_is_all_zero_and_only_that() {
        assert_eq!(Location::encode(None), [0; 12]);
        assert_eq!(Location::decode(&[0; 12]).unwrap(), None);
        for at in 4..12 {
            let mut bytes = [0; 12];
            bytes[at] = 1;
            assert!(Location::decode(&bytes).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_location_is_checked_against_block_and_segment() {
        let (offset_bytes, stored_bytes) = (4096, 100);
        let lz4 = Location { segment: 0, offset_bytes, stored_bytes, codec: Codec::Lz4 };
        let raw = Location { codec: Codec::Raw, ..lz4 };
        assert!(lz4.check(101, 8192).is_ok() && raw.check(100, 8192).is_ok());
        assert!(lz4.check(99, 8192).is_err() && raw.check(101, 8192).is_err());
        assert!(lz4.check(101, 4608).is_ok() && lz4.check(101, 4607).is_err());
    }

    #[test]
    #[should_panic(expected = "unaligned")]
    fn an_unaligned_location_is_our_own_mistake() {
        let codec = Codec::Raw;
        let location = Location { segment: 0, offset_bytes: 513, stored_bytes: 1, codec };
        Location::encode(Some(&location));
    }
}
