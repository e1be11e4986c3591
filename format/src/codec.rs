//! How the bytes of a block or chunk are stored. This is the only place that decodes them.

use serde::{Deserialize, Serialize};

use crate::error::{FormatError, Result, damaged, unsupported};

const WHAT: &str = "codec";
/// Reserved: Zstandard.
const ZSTD: u8 = 2;
/// This bit is set if the stored bytes are encrypted.
const SEALED: u8 = 0x80;

/// How to decode the stored bytes of one block or chunk into its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Codec {
    /// The stored bytes are the content.
    Raw = 0,
    /// LZ4's block format, without a frame and without a length prefix.
    Lz4 = 1,
}

impl Codec {
    /// Decodes `stored` into `content`, which has exactly the length of the block or chunk. After an error, the bytes
    /// in `content` are undefined. The stored bytes may be hostile: only `content` is ever written.
    pub fn decode(self, stored: &[u8], content: &mut [u8]) -> Result<()> {
        let decoded = match self {
            Self::Raw if stored.len() == content.len() => {
                content.copy_from_slice(stored);
                return Ok(());
            }
            Self::Raw => stored.len(),
            Self::Lz4 => match lz4_flex::block::decompress_into(stored, content) {
                Ok(decoded) if decoded == content.len() => return Ok(()),
                Ok(decoded) => decoded,
                Err(error) => return damaged("LZ4", error.to_string()),
            },
        };
        damaged(self.name(), format!("{decoded} bytes instead of {}", content.len()))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw bytes",
            Self::Lz4 => "LZ4",
        }
    }
}

impl From<Codec> for u8 {
    fn from(codec: Codec) -> u8 {
        codec as u8
    }
}

/// Reads a codec from bytes whose hash was checked. So an unknown codec was written by a later version.
impl TryFrom<u8> for Codec {
    type Error = FormatError;

    fn try_from(byte: u8) -> Result<Self> {
        match byte {
            0 => Ok(Self::Raw),
            1 => Ok(Self::Lz4),
            byte if byte & SEALED != 0 => {
                unsupported(WHAT, "the bytes are encrypted, which this septet does not support")
            }
            ZSTD => unsupported(WHAT, "the bytes are compressed with zstd, which this septet does not support"),
            _ => unsupported(WHAT, format!("codec {byte} is not supported by this septet")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_one_codec_or_unsupported() {
        let known: Vec<u8> = (0..=255).filter(|b| Codec::try_from(*b).is_ok()).collect();
        assert_eq!(known, [0, 1]);
        assert!(known.iter().all(|b| u8::from(Codec::try_from(*b).unwrap()) == *b));
        for (byte, said) in
            [(2, "zstd"), (0x80, "encrypted"), (0x82, "encrypted"), (3, "codec 3 "), (0x7f, "codec 127 ")]
        {
            let error = Codec::try_from(byte).unwrap_err();
            assert!(!error.is_damage() && error.to_string().contains(said), "{error}");
            assert!(error.to_string().ends_with("upgrade septet"), "{error}");
        }
    }

    #[test]
    fn json_uses_the_names() {
        assert_eq!(serde_json::to_string(&Codec::Raw).unwrap(), "\"raw\"");
        assert_eq!(serde_json::to_string(&Codec::Lz4).unwrap(), "\"lz4\"");
        assert!(serde_json::from_str::<Codec>("\"zstd\"").is_err());
    }

    #[test]
    fn content_comes_back_and_nothing_else_does() {
        let content = [7; 1000];
        let packed = lz4_flex::block::compress(&content);
        for (codec, stored) in [(Codec::Raw, &content[..]), (Codec::Lz4, &packed)] {
            let mut decoded = [0; 1000];
            codec.decode(stored, &mut decoded).unwrap();
            assert_eq!(decoded, content);
            for end in 0..stored.len() {
                assert!(codec.decode(&stored[..end], &mut decoded).unwrap_err().is_damage(), "{codec:?} {end}");
            }
            assert!(codec.decode(stored, &mut [0; 999]).unwrap_err().is_damage());
            assert!(codec.decode(stored, &mut [0; 1001]).unwrap_err().is_damage());
        }
    }

    #[test]
    fn a_bomb_fills_no_more_than_its_content() {
        let bomb = lz4_flex::block::compress(&vec![0; 16 << 20]);
        assert!(Codec::Lz4.decode(&bomb, &mut [7; 480]).unwrap_err().is_damage());
    }
}
