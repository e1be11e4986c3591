//! Checksums of a body: a CRC or an MD5 in a header. The server compares it with the body.

use base64_simd::STANDARD;
use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use md5::{Digest, Md5};

/// A check that a server may support.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Crc64Nvme,
    Crc32C,
    Crc32,
    Md5,
    None,
}

/// The cheap checks, strongest first.
pub(super) const CRCS: [Check; 3] = [Check::Crc64Nvme, Check::Crc32C, Check::Crc32];

impl Check {
    /// The name in the repository's note.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crc64Nvme => "crc64nvme",
            Self::Crc32C => "crc32c",
            Self::Crc32 => "crc32",
            Self::Md5 => "md5",
            Self::None => "none",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Crc64Nvme, Self::Crc32C, Self::Crc32, Self::Md5, Self::None]
            .into_iter()
            .find(|check| check.name() == name)
    }

    /// The checksum of a body, in Base64 for the header.
    pub(super) fn of(self, pieces: &[Bytes]) -> Sum {
        let text = match self {
            Self::Crc64Nvme => STANDARD.encode_to_string(crc(CrcAlgorithm::Crc64Nvme, pieces).to_be_bytes()),
            Self::Crc32C => STANDARD.encode_to_string(&crc(CrcAlgorithm::Crc32Iscsi, pieces).to_be_bytes()[4..]),
            Self::Crc32 => STANDARD.encode_to_string(&crc(CrcAlgorithm::Crc32IsoHdlc, pieces).to_be_bytes()[4..]),
            Self::Md5 => {
                let mut digest = Md5::new();
                pieces.iter().for_each(|piece| digest.update(piece));
                STANDARD.encode_to_string(digest.finalize())
            }
            Self::None => String::new(),
        };
        Sum { check: self, text, is_probe: false }
    }
}

fn crc(algorithm: CrcAlgorithm, pieces: &[Bytes]) -> u64 {
    let mut digest = crc_fast::Digest::new(algorithm);
    pieces.iter().for_each(|piece| digest.update(piece));
    digest.finalize()
}

/// A checksum, ready for a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) check: Check,
    text: String,
    /// Whether the checksum is wrong on purpose, so that the server should refuse it.
    pub(super) is_probe: bool,
}

impl Sum {
    /// The same checksum, marked as a probe of the server.
    pub(super) fn into_probe(self) -> Self {
        Self { is_probe: true, ..self }
    }

    /// The header's value, if the checksum is of the kind `check`.
    pub(super) fn header(&self, check: Check) -> Option<String> {
        (self.check == check && check != Check::None).then(|| self.text.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standards_however_the_body_is_cut() {
        // The check values of "123456789" in the catalogue of CRC algorithms, and its MD5.
        let of = |check: Check, pieces: &[&'static str]| {
            let pieces: Vec<Bytes> = pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect();
            let text = check.of(&pieces).header(check).unwrap();
            STANDARD.decode_to_vec(text).unwrap()
        };
        for cut in [vec!["123456789"], vec!["1234", "", "56789"]] {
            assert_eq!(of(Check::Crc32, &cut), 0xcbf4_3926_u32.to_be_bytes());
            assert_eq!(of(Check::Crc32C, &cut), 0xe306_9283_u32.to_be_bytes());
            assert_eq!(of(Check::Crc64Nvme, &cut), 0xae8b_1486_0a79_9888_u64.to_be_bytes());
            assert_eq!(of(Check::Md5, &cut)[..4], [0x25, 0xf9, 0xe7, 0x94]);
        }
        assert_eq!(Check::None.of(&[]).header(Check::None), None);
    }

    #[test]
    fn names_are_read_back() {
        for check in [Check::Crc64Nvme, Check::Crc32C, Check::Crc32, Check::Md5, Check::None] {
            assert_eq!(Check::from_name(check.name()), Some(check));
        }
        assert_eq!(Check::from_name("sha1"), None);
    }
}
