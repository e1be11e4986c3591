//! The envelope around a manifest: `{"manifest":` M `,"blake3":"` 64 hex digits `"}` newline.
//!
//! The hash is of M's exact bytes, so that every flipped byte is found, and the whole is JSON, so
//! that `jq .manifest` works. The envelope stays the same in every format, which lets an old
//! version tell a newer manifest from a damaged one.

use super::{Manifest, WHAT};
use crate::error::{Result, damaged, ensure};
use crate::hash::{BlockHash, agrees};
use crate::json;

/// The longest manifest that is read: 256 MiB, room for a million segments. Fetch no more.
pub const MANIFEST_BYTES_MAX: usize = 256 << 20;

const FRONT: &[u8] = b"{\"manifest\":";
const MIDDLE: &[u8] = b",\"blake3\":\"";
const BACK: &[u8] = b"\"}\n";

impl Manifest {
    /// The bytes of `manifest.json`. The same manifest always gives the same bytes.
    pub fn encode(&self) -> Vec<u8> {
        // Only a map whose keys are not strings, or a Serialize that fails, can fail: neither here.
        let inner = serde_json::to_vec(self).unwrap_or_default();
        let hash = BlockHash::of(&inner).to_string();
        [FRONT, &inner, MIDDLE, hash.as_bytes(), BACK].concat()
    }

    /// Reads `manifest.json`: envelope, hash, format, and then that what it says makes sense.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let Some((inner, hash)) = open(bytes) else {
            return damaged(WHAT, "this is no manifest, or it is cut short");
        };
        ensure(agrees(BlockHash::of(inner).to_string().as_bytes(), hash), WHAT, || "it does not match its hash")?;
        let manifest: Self = json::decode(WHAT, inner, MANIFEST_BYTES_MAX)?;
        manifest.check()?;
        Ok(manifest)
    }
}

/// Takes the envelope apart: the manifest's own bytes, and the hex digits of their hash.
fn open(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_prefix(FRONT)?.strip_suffix(BACK)?;
    let (rest, hash) = rest.split_at_checked(rest.len().checked_sub(64)?)?;
    Some((rest.strip_suffix(MIDDLE)?, hash))
}
