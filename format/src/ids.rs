//! Names of volumes and backups, which become part of object keys.
//!
//! A value of these types is safe as one path component in any store. It has 1 to 128 ASCII letters, digits, `.`, `_`
//! and `-`, and begins with a letter, digit or `_`. Every constructor checks this, and so does deserialization. So code
//! that joins keys needs no check of its own.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{FormatError, Result};

/// The longest volume name or backup id, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

const ALLOWED: &str = "allowed are ASCII letters, digits, '.', '_' and '-'";
const ALLOWED_FIRST: &str = "the first must be an ASCII letter, a digit or '_'";

/// The name of a volume. The backups of a volume form one history.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct VolumeName(String);

/// The id of a backup, unique within its volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct BackupId(String);

/// The name of a segment, unique in its repository. Displayed as `volume/backup/number`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId {
    /// The volume whose backup wrote the segment.
    pub volume: VolumeName,
    /// The backup that wrote it.
    pub backup: BackupId,
    /// Its number in that backup.
    pub number: u32,
}

impl fmt::Display for SegmentId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}/{}", self.volume, self.backup, self.number)
    }
}

impl VolumeName {
    const WHAT: &'static str = "volume name";
    /// The repository's own objects have keys beside the volumes.
    const RESERVED: &'static [&'static str] = &["septet.json", "s3.json", "keys"];

    /// Makes a valid name from any text. Replaces each forbidden character by `_` and truncates long text. Empty text
    /// becomes `volume`.
    pub fn sanitize(text: &str) -> Self {
        let keep = |c: char| if is_allowed(c) { c } else { '_' };
        let mut name: String = text.chars().take(NAME_BYTES_MAX).map(keep).collect();
        match name.chars().next() {
            None => name.push_str("volume"),
            Some(first) if !is_allowed_first(first) => name.replace_range(..1, "_"),
            Some(_) => {}
        }
        if Self::RESERVED.contains(&name.as_str()) {
            name = format!("{}_", name.replace('.', "_"));
        }
        Self(name)
    }
}

impl BackupId {
    const WHAT: &'static str = "backup id";
    /// On every command line, `VOLUME@latest` means the newest backup. The other names are reserved for objects of a
    /// volume in later versions.
    const RESERVED: &'static [&'static str] = &["latest", "journal", "uses", "holds"];

    /// Makes an id that sorts by time, like `20261121T233703Z-1a2b3c4d`. `random` distinguishes backups of the same
    /// second.
    pub fn generate(now: jiff::Timestamp, random: u32) -> Self {
        // A clock far in the past could give a year with a minus sign in front.
        let now = now.max(jiff::Timestamp::UNIX_EPOCH);
        Self(format!("{}-{random:08x}", now.strftime("%Y%m%dT%H%M%SZ")))
    }
}

fn is_allowed_first(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_allowed(c: char) -> bool {
    is_allowed_first(c) || c == '.' || c == '-'
}

fn check(what: &'static str, name: &str, reserved: &[&str]) -> Result<()> {
    let why = match name.char_indices().find(|(_, c)| !is_allowed(*c)) {
        _ if name.is_empty() => format!("is empty; {ALLOWED}"),
        _ if name.len() > NAME_BYTES_MAX => {
            let bytes = name.len();
            format!("has {bytes} bytes; at most {NAME_BYTES_MAX} are allowed")
        }
        Some((at, c)) => format!("has {c:?} at byte {at}; {ALLOWED}"),
        None if !name.starts_with(is_allowed_first) => {
            format!("starts with {:?}; {ALLOWED_FIRST}", &name[..1])
        }
        None if reserved.contains(&name) => "is a reserved word; choose another".to_owned(),
        None => return Ok(()),
    };
    let shown: String = name.chars().take(48).collect();
    let cut = if shown.len() < name.len() { "…" } else { "" };
    let name = format!("{shown:?}{cut}");
    Err(FormatError::InvalidName { what, name, why })
}

macro_rules! name {
    ($type:ident) => {
        impl TryFrom<String> for $type {
            type Error = FormatError;

            fn try_from(name: String) -> Result<Self> {
                check(Self::WHAT, &name, Self::RESERVED)?;
                Ok(Self(name))
            }
        }

        impl FromStr for $type {
            type Err = FormatError;

            fn from_str(name: &str) -> Result<Self> {
                check(Self::WHAT, name, Self::RESERVED)?;
                Ok(Self(name.to_owned()))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(VolumeName);
name!(BackupId);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(name: &str) -> String {
        name.parse::<VolumeName>().unwrap_err().to_string()
    }

    #[test]
    fn a_refusal_names_the_character_and_what_is_allowed() {
        assert_eq!(
            refusal("a/b"),
            "volume name \"a/b\": has '/' at byte 1; \
             allowed are ASCII letters, digits, '.', '_' and '-'"
        );
        assert!(refusal("..").contains("starts with \".\""));
        assert!(refusal("-x").contains("starts with \"-\""));
        assert!(refusal("").contains("is empty"));
        assert!(refusal("a b").contains("' '"));
        assert!(refusal("a@b").contains("'@'"));
        assert!(refusal("grün").contains("'ü' at byte 2"));
        assert!(refusal("a\nb").contains(r"'\n'"));
        assert!(refusal(&"x".repeat(129)).contains("129 bytes; at most 128"));
        assert!(refusal("septet.json").contains("reserved"));
    }

    #[test]
    fn the_longest_name_and_each_others_reserved_word_are_valid() {
        assert!("x".repeat(128).parse::<VolumeName>().is_ok());
        for reserved in ["septet.json", "s3.json", "keys"] {
            assert!(refusal(reserved).contains("reserved"), "{reserved}");
            assert!(reserved.parse::<BackupId>().is_ok(), "{reserved}");
            assert!(VolumeName::sanitize(reserved).as_str().parse::<VolumeName>().is_ok(), "{reserved}");
        }
        for reserved in ["latest", "journal", "uses", "holds"] {
            assert!(reserved.parse::<BackupId>().is_err(), "{reserved}");
        }
        assert!("latest".parse::<VolumeName>().is_ok());
        assert!("septet.json".parse::<BackupId>().is_ok());
        assert!("latest".parse::<BackupId>().is_err());
    }

    #[test]
    fn a_refusal_is_one_short_line_whatever_the_name() {
        let text = refusal(&"\n".repeat(5000));
        assert!(text.len() < 250 && !text.contains('\n'), "{text}");
    }

    #[test]
    fn serde_checks_on_the_way_in() {
        let name: VolumeName = serde_json::from_str("\"sda_1\"").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"sda_1\"");
        assert!(serde_json::from_str::<VolumeName>("\"../etc\"").is_err());
        assert!(serde_json::from_str::<BackupId>("\"latest\"").is_err());
    }

    #[test]
    fn generated_ids_are_valid_and_sort_by_time() {
        let at = |s: &str| s.parse::<jiff::Timestamp>().unwrap();
        let id = BackupId::generate(at("2026-11-21T23:37:03.9Z"), 0x1a2b_3c4d);
        assert_eq!(id.as_str(), "20261121T233703Z-1a2b3c4d");
        assert!(BackupId::generate(at("2026-11-21T23:37:04Z"), 0) > id);
        let old = BackupId::generate(jiff::Timestamp::MIN, 0);
        assert_eq!(old.as_str().parse::<BackupId>().unwrap(), old);
    }

    proptest! {
        #[test]
        fn whatever_is_sanitized_is_valid(text in ".{0,200}") {
            let name = VolumeName::sanitize(&text);
            prop_assert_eq!(name.as_str().parse::<VolumeName>().unwrap(), name);
        }

        #[test]
        fn a_valid_name_is_left_as_it_is(text in "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}") {
            prop_assume!(!VolumeName::RESERVED.contains(&text.as_str()));
            prop_assert_eq!(VolumeName::sanitize(&text).to_string(), text);
        }
    }

    #[test]
    fn sanitize_handles_the_edges() {
        assert_eq!(VolumeName::sanitize("").as_str(), "volume");
        assert_eq!(VolumeName::sanitize("..").as_str(), "_.");
        assert_eq!(VolumeName::sanitize("septet.json").as_str(), "septet_json_");
        assert_eq!(VolumeName::sanitize("/dev/vg/root").as_str(), "_dev_vg_root");
        assert_eq!(VolumeName::sanitize(&"ä".repeat(300)).as_str(), "_".repeat(128));
    }
}
