//! How a block's bytes are stored.

use serde::{Deserialize, Serialize};

use crate::error::{FormatError, damaged};

/// How the stored bytes of one block or chunk become its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Codec {
    /// The stored bytes are the content.
    Raw = 0,
    /// LZ4's block format: no frame, no length in front.
    Lz4 = 1,
}

impl From<Codec> for u8 {
    fn from(codec: Codec) -> u8 {
        codec as u8
    }
}

impl TryFrom<u8> for Codec {
    type Error = FormatError;

    fn try_from(byte: u8) -> Result<Self, FormatError> {
        match byte {
            0 => Ok(Self::Raw),
            1 => Ok(Self::Lz4),
            _ => damaged("codec", format!("there is no codec {byte}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_one_codec_or_none() {
        let known: Vec<u8> = (0..=255).filter(|b| Codec::try_from(*b).is_ok()).collect();
        assert_eq!(known, [0, 1]);
        assert!(known.iter().all(|b| u8::from(Codec::try_from(*b).unwrap()) == *b));
    }

    #[test]
    fn json_uses_the_names() {
        assert_eq!(serde_json::to_string(&Codec::Raw).unwrap(), "\"raw\"");
        assert_eq!(serde_json::to_string(&Codec::Lz4).unwrap(), "\"lz4\"");
        assert!(serde_json::from_str::<Codec>("\"zstd\"").is_err());
    }
}
