//! `septet.json`: identifies a repository, its format and its id.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{FormatError, Result};
use crate::{FORMAT_VERSION, Features, JSON_BYTES_MAX, json};

const WHAT: &str = "septet.json";

/// The description of a repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RepositoryInfo {
    /// The format of everything in the repository.
    pub format: u32,
    /// The repository's id. Every segment and manifest of the repository contains it.
    pub id: Uuid,
    /// The features that a program must know to read from the repository.
    pub needs_to_read: Features,
    /// The features that a program must know to write to the repository or delete from it.
    pub needs_to_write: Features,
    /// When the repository was created.
    pub created: Timestamp,
    /// The program that created it, like `septet 0.1.0`.
    pub tool: String,
    /// Fields of later versions that older ones may ignore.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, serde_json::Value>,
}

impl RepositoryInfo {
    /// Describes a new repository in the current format.
    pub fn new(id: Uuid, created: Timestamp, tool: impl Into<String>) -> Self {
        let needs = Features::of_this_version();
        let (tool, extensions) = (tool.into(), BTreeMap::new());
        let (needs_to_read, needs_to_write) = (needs.clone(), needs);
        Self { format: FORMAT_VERSION, id, needs_to_read, needs_to_write, created, tool, extensions }
    }

    /// The bytes of `septet.json`.
    pub fn encode(&self) -> Vec<u8> {
        json::encode(self)
    }

    /// Decodes `septet.json`. Ignores unknown fields.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        json::check_format(WHAT, bytes, JSON_BYTES_MAX)?;
        let lists = json::parse::<Lists>(WHAT, bytes)?;
        if lists.needs_to_read.is_none() && lists.needs_to_write.is_none() {
            let why = "made by a development version of Septet, before format 1 was final: create a new repository";
            return Err(FormatError::Unsupported { what: WHAT, why: why.to_owned() });
        }
        json::decode_needing(WHAT, bytes, JSON_BYTES_MAX)
    }

    /// Returns an error if this version must not write to the repository or delete from it.
    pub fn check_writable(&self) -> Result<()> {
        self.needs_to_write.check(WHAT)
    }
}

/// Tells whether the object has lists of features at all.
#[derive(Deserialize)]
struct Lists {
    needs_to_read: Option<serde_json::Value>,
    needs_to_write: Option<serde_json::Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let list = br#"{"format":1,"needs_to_read":["Zstd"],"needs_to_write":[]}"#;
        for bytes in [&b""[..], b"{}", b"[]", b"\xff", br#"{"format":0}"#, list, &long] {
            assert!(RepositoryInfo::decode(bytes).unwrap_err().is_damage());
        }
    }

    #[test]
    fn an_unknown_feature_is_unsupported_and_one_for_writers_stops_only_them() {
        let needing = |read: &str, write: &str| {
            let text = String::from_utf8(info().encode()).unwrap();
            let list = "[\n    \"generations\"\n  ]";
            assert_eq!(text.matches(list).count(), 2);
            text.replacen(list, read, 1).replacen(list, write, 1)
        };
        let error = RepositoryInfo::decode(needing(r#"["sealed"]"#, "[]").as_bytes()).unwrap_err();
        assert!(!error.is_damage() && error.to_string().contains("needs \"sealed\""), "{error}");
        let info = RepositoryInfo::decode(needing("[]", r#"["sealed"]"#).as_bytes()).unwrap();
        let error = info.check_writable().unwrap_err();
        assert!(!error.is_damage() && error.to_string().contains("needs \"sealed\""), "{error}");
        // Newer objects may have other fields, so the list is checked before them.
        let strange = br#"{"format":1,"needs_to_read":["colours"],"needs_to_write":[],"id":7}"#;
        assert!(!RepositoryInfo::decode(strange).unwrap_err().is_damage());
    }

    #[test]
    fn a_repository_of_a_development_version_is_refused_in_one_clear_line() {
        let old =
            br#"{"format":1,"id":"01234567-89ab-4def-8123-456789abcdef","created":"2026-11-21T23:37:03Z","tool":"x"}"#;
        let error = RepositoryInfo::decode(old).unwrap_err();
        assert!(!error.is_damage());
        assert_eq!(
            error.to_string(),
            "septet.json: made by a development version of Septet, before format 1 was final: create a new repository"
        );
    }

    #[test]
    fn every_truncation_is_damage() {
        let bytes = info().encode();
        // The last byte is a newline, which is not part of the JSON.
        for end in 0..bytes.len() - 1 {
            assert!(RepositoryInfo::decode(&bytes[..end]).unwrap_err().is_damage(), "{end}");
        }
    }
}
