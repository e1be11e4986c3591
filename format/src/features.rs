//! Which features a reader or a writer must know: the lists `needs_to_read` and `needs_to_write`.
//!
//! A feature is anything that an older version would misinterpret. A version that does not know a listed feature
//! rejects the object as unsupported, never as damaged.

use serde::{Deserialize, Serialize};

use crate::error::{FormatError, Result, damaged, unsupported};

/// The most names in a list.
pub const FEATURES_MAX: usize = 64;
/// The longest name, in bytes.
pub const FEATURE_BYTES_MAX: usize = 64;

/// Blocks or chunks are compressed with Zstandard. Reserved: not supported yet.
pub const ZSTD: &str = "zstd";
/// Objects are encrypted. Reserved: not supported yet.
pub const SEALED: &str = "sealed";
/// A backup uses segments of another volume. Reserved: not supported yet.
pub const SHARED: &str = "shared";
/// Manifests have generations and may be tombstones: the protocol of format 1.
pub const GENERATIONS: &str = "generations";

/// What this version supports, for reading and for writing.
const SUPPORTED: [&str; 1] = [GENERATIONS];

/// Names of features, in the order in which they are written in the object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Features(Vec<String>);

impl Features {
    /// The features that every object written by this version needs.
    pub fn of_this_version() -> Self {
        Self(vec![GENERATIONS.to_owned()])
    }

    /// Whether the list names this feature.
    pub fn has(&self, feature: &str) -> bool {
        self.0.iter().any(|name| name == feature)
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Returns an error if the object `what` needs a feature that this version does not support.
    pub fn check(&self, what: &'static str) -> Result<()> {
        match self.names().find(|name| !SUPPORTED.contains(name)) {
            Some(name) => unsupported(what, format!("needs {name:?}, which this septet does not support")),
            None => Ok(()),
        }
    }
}

impl TryFrom<Vec<String>> for Features {
    type Error = FormatError;

    fn try_from(names: Vec<String>) -> Result<Self> {
        let is_allowed = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        let is_name =
            |name: &String| (1..=FEATURE_BYTES_MAX).contains(&name.len()) && name.as_bytes().iter().all(is_allowed);
        if names.len() > FEATURES_MAX || !names.iter().all(is_name) {
            return damaged("list of features", "more than 64 names, or one that is not 1 to 64 lower-case characters");
        }
        Ok(Self(names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(names: &[&str]) -> Result<Features> {
        Features::try_from(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn an_unknown_feature_asks_for_an_upgrade_and_is_no_damage() {
        assert!(Features::of_this_version().check("manifest").is_ok());
        for name in [ZSTD, SEALED, SHARED, "colours"] {
            let error = parse(&[GENERATIONS, name]).unwrap().check("manifest").unwrap_err();
            assert!(!error.is_damage());
            let text = format!("manifest: needs {name:?}, which this septet does not support: upgrade septet");
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn only_short_lists_of_lower_case_names_are_lists() {
        assert!(parse(&[]).is_ok() && parse(&["x"; 64]).is_ok() && parse(&[&"x".repeat(64), "a-1"]).is_ok());
        for bad in ["", "Zstd", "a b", "a\n", "ä", &"x".repeat(65)] {
            assert!(parse(&[bad]).unwrap_err().is_damage(), "{bad:?}");
        }
        assert!(parse(&["x"; 65]).unwrap_err().is_damage());
    }

    #[test]
    fn json_is_an_array_of_names() {
        let features = parse(&[GENERATIONS, ZSTD]).unwrap();
        let json = serde_json::to_string(&features).unwrap();
        assert_eq!(json, r#"["generations","zstd"]"#);
        assert_eq!(serde_json::from_str::<Features>(&json).unwrap(), features);
        assert!(features.has(ZSTD) && !features.has(SEALED));
    }
}
