//! Recognizes tombstones. One remains for two days after a backup was deleted or abandoned.

/// Whether an object is a tombstone, by its key and its bytes.
pub fn is_tombstone(key: &str, read: impl FnOnce() -> Vec<u8>) -> bool {
    let name = key.rsplit('/').next().unwrap_or_default();
    name.starts_with("manifest-") && read().starts_with(b"{\"manifest\":{\"kind\":\"tombstone\"")
}
