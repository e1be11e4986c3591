//! The small JSON objects: their version is looked at before their fields.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Result, check_version, damaged, ensure};

/// The longest `septet.json` or `pending.json` that is read: 1 MiB. Fetch no more.
pub const JSON_BYTES_MAX: usize = 1 << 20;

#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

/// Parses a JSON object with a field `format`; a newer format is told from damage.
pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8], bytes_max: usize) -> Result<T> {
    ensure(bytes.len() <= bytes_max, what, || format!("it is longer than {bytes_max} bytes"))?;
    check_version(what, parse::<Versioned>(what, bytes)?.format)?;
    parse(what, bytes)
}

fn parse<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).or_else(|error| damaged(what, error.to_string()))
}

/// Packs a value as JSON for people to read, with a newline at its end.
pub(crate) fn encode(value: &impl serde::Serialize) -> Vec<u8> {
    // Only a map whose keys are not strings, or a Serialize that fails, can fail: ours do neither.
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
