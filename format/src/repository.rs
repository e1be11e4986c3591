//! `septet.json`: that this is a repository, in which format, and which one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Result;
use crate::{FORMAT_VERSION, JSON_BYTES_MAX, json};

const WHAT: &str = "septet.json";

/// What a repository says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RepositoryInfo {
    /// The format of everything in the repository.
    pub format: u32,
    /// The repository's own id, in every segment and manifest that belongs to it.
    pub id: Uuid,
    /// When it was made.
    pub created: Timestamp,
    /// What made it, like `septet 0.1.0`.
    pub tool: String,
    /// What later versions add that older ones may ignore.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, serde_json::Value>,
}

impl RepositoryInfo {
    /// Describes a new repository in the present format.
    pub fn new(id: Uuid, created: Timestamp, tool: impl Into<String>) -> Self {
        let (tool, extensions) = (tool.into(), BTreeMap::new());
        Self { format: FORMAT_VERSION, id, created, tool, extensions }
    }

    /// The bytes of `septet.json`.
    pub fn encode(&self) -> Vec<u8> {
        json::encode(self)
    }

    /// Reads `septet.json`; fields it does not know are ignored.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        json::decode(WHAT, bytes, JSON_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FormatError;

    fn info() -> RepositoryInfo {
        RepositoryInfo::new(Uuid::from_u128(7), Timestamp::UNIX_EPOCH, "septet 0.1.0")
    }

    #[test]
    fn it_round_trips() {
        let mut info = info();
        assert_eq!(RepositoryInfo::decode(&info.encode()).unwrap(), info);
        info.extensions.insert("seal".to_owned(), serde_json::json!({"by": [1, 2]}));
        assert_eq!(RepositoryInfo::decode(&info.encode()).unwrap(), info);
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let text = String::from_utf8(info().encode()).unwrap();
        let text = text.replacen('{', r#"{"colour":"green","#, 1);
        assert_eq!(RepositoryInfo::decode(text.as_bytes()).unwrap(), info());
    }

    #[test]
    fn a_newer_format_asks_for_an_upgrade_even_if_nothing_else_is_known() {
        let error = RepositoryInfo::decode(br#"{"format":2,"shape":"new"}"#).unwrap_err();
        assert!(matches!(error, FormatError::NewerVersion { found: 2, .. }));
        assert_eq!(error.to_string(), "septet.json: made by a newer Septet (format 2); upgrade septet");
    }

    #[test]
    fn rubbish_is_damage() {
        let long = vec![b' '; JSON_BYTES_MAX + 1];
        for bytes in [&b""[..], b"{}", b"[]", b"\xff", br#"{"format":0}"#, br#"{"format":1}"#, &long] {
            assert!(RepositoryInfo::decode(bytes).unwrap_err().is_damage());
        }
    }

    #[test]
    fn every_truncation_is_damage() {
        let bytes = info().encode();
        // The last byte is the newline, which is for people.
        for end in 0..bytes.len() - 1 {
            assert!(RepositoryInfo::decode(&bytes[..end]).unwrap_err().is_damage(), "{end}");
        }
    }
}
