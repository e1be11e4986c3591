//! The envelope around a manifest or tombstone: `{"manifest":` M `,"blake3":"` 64 hex digits `"}` newline.
//!
//! The hash covers M's exact bytes, so every flipped byte is found. The whole is JSON, so `jq .manifest` works. The
//! envelope is the same in every format, so an old version can distinguish a newer manifest from a damaged one.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Manifest, Tombstone, WHAT, tombstone};
use crate::error::{Result, damaged, ensure, unsupported};
use crate::hash::{BlockHash, agrees};
use crate::{BackupId, Features, VolumeName, json};

/// The longest manifest that readers accept: 256 MiB, enough for a million segments. Fetch no more.
pub const MANIFEST_BYTES_MAX: usize = 256 << 20;

const FRONT: &[u8] = b"{\"manifest\":";
const MIDDLE: &[u8] = b",\"blake3\":\"";
const BACK: &[u8] = b"\"}\n";

/// The object under a manifest's key.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "almost every record is a backup")]
pub enum Record {
    /// The backup exists.
    Backup(Manifest),
    /// The backup does not exist: it was taken over, abandoned or deleted.
    Tombstone(Tombstone),
}

/// The same by reference, with its kind as the first field.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Packed<'a> {
    Backup(&'a Manifest),
    Tombstone(&'a Tombstone),
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
}

impl Record {
    /// The bytes of the object. The same record always gives the same bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Backup(manifest) => manifest.encode(),
            Self::Tombstone(tombstone) => tombstone.encode(),
        }
    }

    /// Decodes the object. Checks the envelope and the hash, then the format and the features, then the fields. So a
    /// flipped bit is reported as damage, and only bytes with a correct hash are reported as unsupported.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let Some((inner, hash)) = open(bytes) else {
            return damaged(WHAT, "this is not a manifest, or it is truncated");
        };
        ensure(agrees(BlockHash::of(inner).to_string().as_bytes(), hash), WHAT, || "it does not match its hash")?;
        json::check_needs(WHAT, inner, MANIFEST_BYTES_MAX)?;
        match json::parse::<Kind>(WHAT, inner)?.kind.as_str() {
            "backup" => {
                let manifest: Manifest = json::parse(WHAT, inner)?;
                manifest.check()?;
                Ok(Self::Backup(manifest))
            }
            "tombstone" => {
                let tombstone: Tombstone = json::parse(tombstone::WHAT, inner)?;
                tombstone.check()?;
                Ok(Self::Tombstone(tombstone))
            }
            kind => unsupported(WHAT, format!("its kind is not supported by this septet: {kind:?}")),
        }
    }

    /// The repository that contains the record.
    pub fn repository(&self) -> Uuid {
        match self {
            Self::Backup(manifest) => manifest.repository,
            Self::Tombstone(tombstone) => tombstone.repository,
        }
    }

    /// The volume, the backup and the generation of the record.
    pub fn name(&self) -> (&VolumeName, &BackupId, u32) {
        match self {
            Self::Backup(Manifest { volume, backup, generation, .. })
            | Self::Tombstone(Tombstone { volume, backup, generation, .. }) => (volume, backup, *generation),
        }
    }

    /// The features that a program must know to delete from the volume.
    pub fn needs_to_write(&self) -> &Features {
        match self {
            Self::Backup(manifest) => &manifest.needs_to_write,
            Self::Tombstone(tombstone) => &tombstone.needs_to_write,
        }
    }
}

impl Manifest {
    /// The bytes of the manifest's object. The same manifest always gives the same bytes.
    pub fn encode(&self) -> Vec<u8> {
        close(&Packed::Backup(self))
    }

    /// Decodes a manifest. A tombstone in its place is an error. For callers that know that there can't be one.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        match Record::decode(bytes)? {
            Record::Backup(manifest) => Ok(manifest),
            Record::Tombstone(_) => damaged(WHAT, "it is a tombstone"),
        }
    }
}

impl Tombstone {
    /// The bytes of the tombstone's object. The same tombstone always gives the same bytes.
    pub fn encode(&self) -> Vec<u8> {
        close(&Packed::Tombstone(self))
    }
}

/// Puts the envelope around a record.
#[expect(clippy::expect_used, reason = "serde_json fails only if a map's keys are not strings or a Serialize fails")]
fn close(record: &Packed) -> Vec<u8> {
    // The only maps are `BTreeMap<String, Value>`, and every Serialize here is derived or writes one number or string.
    let inner = serde_json::to_vec(record).expect("a record is JSON");
    let hash = BlockHash::of(&inner).to_string();
    [FRONT, &inner, MIDDLE, hash.as_bytes(), BACK].concat()
}

/// Splits the envelope into the record's bytes and the hex digits of their hash.
fn open(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_prefix(FRONT)?.strip_suffix(BACK)?;
    let (rest, hash) = rest.split_at_checked(rest.len().checked_sub(64)?)?;
    Some((rest.strip_suffix(MIDDLE)?, hash))
}
