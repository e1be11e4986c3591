//! JSON objects. The format and the features that a reader must know are checked before the other fields.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Result, check_version, damaged, ensure};
use crate::features::Features;

/// The longest `septet.json` or marker that readers accept: 1 MiB. Fetch no more.
pub const JSON_BYTES_MAX: usize = 1 << 20;

/// The field that every object has, in every format.
#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

/// The field that every object with lists of features also has in this format.
#[derive(Deserialize)]
struct Needing {
    needs_to_read: Features,
}

/// Parses a JSON object with a field `format`. Distinguishes a newer format from damage.
pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8], bytes_max: usize) -> Result<T> {
    check_format(what, bytes, bytes_max)?;
    parse(what, bytes)
}

/// The same for an object with lists of features. Distinguishes an unsupported feature from damage, too.
pub(crate) fn decode_needing<T: DeserializeOwned>(what: &'static str, bytes: &[u8], bytes_max: usize) -> Result<T> {
    check_needs(what, bytes, bytes_max)?;
    parse(what, bytes)
}

/// Returns an error if this version can't read the object.
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

/// Packs a value as readable JSON, with a newline at its end.
#[expect(clippy::expect_used, reason = "serde_json fails only if a map's keys are not strings or a Serialize fails")]
pub(crate) fn encode(value: &impl serde::Serialize) -> Vec<u8> {
    // The only values are `septet.json` and markers. Their only maps are `BTreeMap<String, Value>`, and every Serialize
    // is derived.
    let mut bytes = serde_json::to_vec_pretty(value).expect("it is JSON");
    bytes.push(b'\n');
    bytes
}
