//! The hash of a block: 32 bytes of BLAKE3. As text, 64 lower-case hex digits.
//!
//! A hash is part of most commands between agents, so serde converts it on the stack, without allocating. Upper-case
//! digits are rejected: otherwise a flipped bit in a manifest could remain unnoticed.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserializer, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::error::{FormatError, damaged};

/// The BLAKE3 hash of a block's content, or [`BlockHash::ZERO`] for a block that reads as zeros.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockHash([u8; 32]);

impl BlockHash {
    /// The entry in `checksums` for a hole or a block of zeros. No content has this hash.
    pub const ZERO: Self = Self([0; 32]);

    /// Hashes `content` on this thread.
    pub fn of(content: &[u8]) -> Self {
        Self(*blake3::hash(content).as_bytes())
    }

    /// Whether the block reads as zeros.
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// The 32 bytes, as stored.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn to_hex(self) -> impl AsRef<str> {
        blake3::Hash::from_bytes(self.0).to_hex()
    }
}

/// Whether a checksum is the expected one. Always true in a fuzzer: it could never find bytes with a given checksum,
/// and the code behind this comparison must withstand hostile bytes, too.
pub(crate) fn agrees<T: PartialEq>(found: T, expected: T) -> bool {
    cfg!(fuzzing) || found == expected
}

impl From<[u8; 32]> for BlockHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.to_hex().as_ref())
    }
}

impl fmt::Debug for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn parse(hex: &str) -> Option<BlockHash> {
    // `from_hex` accepts upper case as well.
    let hash = blake3::Hash::from_hex(hex).ok()?;
    (!hex.bytes().any(|digit| digit.is_ascii_uppercase())).then(|| BlockHash(*hash.as_bytes()))
}

impl FromStr for BlockHash {
    type Err = FormatError;

    fn from_str(hex: &str) -> Result<Self, FormatError> {
        parse(hex).map_or_else(|| damaged("hash", "not 64 lower-case hex digits"), Ok)
    }
}

impl Serialize for BlockHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.to_hex().as_ref())
    }
}

impl<'de> Deserialize<'de> for BlockHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(HexVisitor)
    }
}

struct HexVisitor;

impl Visitor<'_> for HexVisitor {
    type Value = BlockHash;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("64 lower-case hex digits")
    }

    fn visit_str<E: serde::de::Error>(self, hex: &str) -> Result<BlockHash, E> {
        parse(hex).ok_or_else(|| E::custom("a hash is 64 lower-case hex digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// From the BLAKE3 paper's test vectors: the hash of no bytes.
    const EMPTY: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

    #[test]
    fn it_is_blake3() {
        assert_eq!(BlockHash::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<BlockHash>().unwrap(), BlockHash::of(b""));
    }

    #[test]
    fn zero_is_zero() {
        assert!(BlockHash::ZERO.is_zero() && !BlockHash::of(b"").is_zero());
        assert_eq!(BlockHash::ZERO.to_string(), "0".repeat(64));
    }

    #[test]
    fn only_64_lower_case_hex_digits_are_a_hash() {
        let upper = EMPTY.to_uppercase();
        for text in ["", &EMPTY[1..], &format!("{EMPTY}0"), &upper, &"ä".repeat(32)] {
            assert!(text.parse::<BlockHash>().is_err(), "{text}");
            assert!(serde_json::from_value::<BlockHash>(text.into()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_and_json_round_trip(bytes: [u8; 32]) {
            let hash = BlockHash::from(bytes);
            prop_assert_eq!(hash.to_string().parse::<BlockHash>().unwrap(), hash);
            let json = serde_json::to_string(&hash).unwrap();
            prop_assert_eq!(serde_json::from_str::<BlockHash>(&json).unwrap(), hash);
        }
    }
}
