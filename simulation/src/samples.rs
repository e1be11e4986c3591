//! Ids and contents for tests.

use septet_format::BackupId;

use crate::BLOCK_BYTES;

/// The backup id `name`.
///
/// # Panics
/// If it is none.
pub fn id(name: &str) -> BackupId {
    name.parse().expect("an id")
}

/// Twelve blocks of noise: they fill several segments, and all of them have room in a pool.
pub fn content(seed: u64) -> Vec<u8> {
    let mut content = vec![0; 12 * BLOCK_BYTES as usize];
    // Many tests make it thousands of times, and this is fast in a debug build, too.
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut content);
    content
}
