//! JSON objects: the version and what a reader must know are looked at before the other fields.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Result, check_version, damaged, ensure};
use crate::features::Features;

/// The longest `septet.json` or marker that is read: 1 MiB. Fetch no more.
pub const JSON_BYTES_MAX: usize = 1 << 20;

/// What stands in every object, whatever its version.
#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

/// What else stands in every object of this format that has lists of features.
#[derive(Deserialize)]
struct Needing {
    needs_to_read: Features,
}

/// Parses a JSON object with a field `format`; a newer format is told from damage.
pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8], bytes_max: usize) -> Result<T> {
    check_format(what, bytes, bytes_max)?;
    parse(what, bytes)
}

/// The same for an object with lists of features: one that this version does not support is told from
/// damage, too.
pub(crate) fn decode_needing<T: DeserializeOwned>(what: &'static str, bytes: &[u8], bytes_max: usize) -> Result<T> {
    check_needs(what, bytes, bytes_max)?;
    parse(what, bytes)
}

/// Refuses whatever this version can't read.
pub(crate) fn check_needs(what: &'static str, bytes: &[u8], bytes_max: usize) -> Result<()> {
    check_format(what, bytes, bytes_max)?;
    parse::<Needing>(what, bytes)?.needs_to_read.check(what)
}

pub(crate) fn check_format(what: &'static str, bytes: &[u8], bytes_max: usize) -> Result<()> {
    ensure(bytes.len() <= bytes_max, what, || format!("it is longer than {bytes_max} bytes"))?;
    check_version(what, parse::<Versioned>(what, bytes)?.format)
}

pub(crate) fn parse<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).or_else(|error| damaged(what, error.to_string()))
}

/// Packs a value as JSON for people to read, with a newline at its end.
#[expect(clippy::expect_used, reason = "serde_json fails only if a map's keys are not strings or a Serialize fails")]
pub(crate) fn encode(value: &impl serde::Serialize) -> Vec<u8> {
    // `septet.json` and markers: their only maps are `BTreeMap<String, Value>`, and every Serialize is derived.
    let mut bytes = serde_json::to_vec_pretty(value).expect("it is JSON");
    bytes.push(b'\n');
    bytes
}
