//! Checks keys before they become paths or URLs. A key may come from a manipulated manifest, and must never lead out of
//! the repository.

/// The longest key that S3 allows.
pub const KEY_BYTES_MAX: usize = 1024;

/// The longest name between two slashes that file systems allow.
const NAME_BYTES_MAX: usize = 255;

/// The prefix of the file names of unfinished uploads in a directory. No name in a key may begin with it.
pub(crate) const TEMPORARY_PREFIX: &str = ".tmp-";

/// Returns an error that says what is wrong with the key.
pub fn check_key(key: &str) -> Result<(), &'static str> {
    if key.len() > KEY_BYTES_MAX {
        return Err("the key is longer than 1024 bytes");
    }
    key.split('/').try_for_each(check_name)
}

/// Returns an error that says what is wrong with the prefix. A valid prefix is empty, or a key followed by a slash.
pub fn check_prefix(prefix: &str) -> Result<(), &'static str> {
    match prefix.strip_suffix('/') {
        Some(key) => check_key(key),
        None if prefix.is_empty() => Ok(()),
        None => Err("the prefix does not end in a slash"),
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("the key is absolute or contains an empty name"),
        "." | ".." => Err("the key contains . or .."),
        _ if name.len() > NAME_BYTES_MAX => Err("the key contains a name longer than 255 bytes"),
        _ if name.contains('\0') => Err("the key contains a NUL"),
        _ if name.starts_with(TEMPORARY_PREFIX) => Err("the key is the name of an unfinished upload"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    #[test]
    fn hostile_keys_are_refused() {
        let long_name = "n".repeat(256);
        let long_key = "n/".repeat(512) + "n";
        let hostile = ["", "/", "/etc/passwd", "a//b", "a/", ".", "..", "a/../b", "a/.", "a\0b", "a/.tmp-1"];
        for key in hostile.into_iter().chain([long_name.as_str(), long_key.as_str()]) {
            assert!(check_key(key).is_err(), "{key:?} passed");
        }
        for key in ["a", "a/b", "...", "a/..b/c", "é/ü", "a b", "a\\b", ".tmp"] {
            assert_eq!(check_key(key), Ok(()), "{key:?}");
        }
    }

    #[test]
    fn a_prefix_is_nothing_or_a_directory() {
        assert_eq!(check_prefix(""), Ok(()));
        assert_eq!(check_prefix("a/b/"), Ok(()));
        for prefix in ["a", "/", "a//", "../", "a/../"] {
            assert!(check_prefix(prefix).is_err(), "{prefix:?} passed");
        }
    }

    proptest! {
        #[test]
        fn what_passes_stays_below_the_root(key in "[a./\\x00~-]{0,12}") {
            if check_key(&key).is_ok() {
                prop_assert!(Path::new(&key).components().all(|part| matches!(part, Component::Normal(_))));
            }
        }
    }
}
