//! The objects that the store itself keeps in a repository. Listings leave them out.

/// The key of the note that holds the result of a probe.
pub(super) const NOTE_KEY: &str = "s3.json";
/// The prefix of the probes' names.
pub(super) const PROBE_NAME: &str = "septet-probe-";

/// Whether the key is that of the note or of a probe.
pub(super) fn is_own(key: &str) -> bool {
    let is_number = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    key == NOTE_KEY || key.strip_prefix(PROBE_NAME).is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_and_probes_are_the_stores_own() {
        assert!(is_own("s3.json") && is_own("septet-probe-0123456789abcdef"));
        for key in ["septet.json", "septet-probe-", "septet-probe-1", "septet-probe-0123456789abcdef/x", "a/s3.json"] {
            assert!(!is_own(key), "{key}");
        }
    }
}
