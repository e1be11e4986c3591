//! `--metadata FILE`: a JSON object that is stored with the backup.

use std::fs;
use std::path::Path;

use septet_engine::{BadRequest, words};
use serde_json::Value;

use crate::report::size;

/// Limited because it is sent in one line, with the job, and stored in the manifest.
const METADATA_BYTES_MAX: u64 = 256 << 10;

/// Reads the file and checks that it holds a JSON object.
pub(super) fn read(path: &Path) -> anyhow::Result<Value> {
    let name = path.display();
    let length = fs::metadata(path).map(|metadata| metadata.len());
    let length = length.map_err(|error| anyhow::anyhow!("--metadata {name}: {}", words(&error)))?;
    if length > METADATA_BYTES_MAX {
        let (length, most) = (size(length), size(METADATA_BYTES_MAX));
        return Err(BadRequest(format!("--metadata {name}: the file has {length}; at most {most} are allowed")).into());
    }
    let text = fs::read(path).map_err(|error| anyhow::anyhow!("--metadata {name}: {}", words(&error)))?;
    match serde_json::from_slice(&text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        _ => Err(BadRequest(format!("--metadata {name} is not a JSON object")).into()),
    }
}
