//! Ids and contents for tests.

use septet_format::BackupId;

use crate::BLOCK_BYTES;

/// The backup id `name`.
///
/// # Panics
/// If `name` is not a valid id.
pub fn id(name: &str) -> BackupId {
    name.parse().expect("an id")
}

/// Twelve blocks of noise. They fill several segments, and a pool has room for all of them.
pub fn content(seed: u64) -> Vec<u8> {
    let mut content = vec![0; 12 * BLOCK_BYTES as usize];
    // Many tests call this thousands of times. The hash is fast even in a debug build.
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut content);
    content
}
