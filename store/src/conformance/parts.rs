//! Helpers that the cases share.

use crate::{PIECE_ALIGN_BYTES, Store, StoreError, StoreErrorKind};
use bytes::Bytes;

/// A case: its name, and what it does to an empty store.
pub(super) type Case = (&'static str, fn(&dyn Store));

pub(super) fn kind<T: std::fmt::Debug>(result: Result<T, StoreError>) -> StoreErrorKind {
    let error = result.expect_err("this must fail");
    assert!(!error.to_string().contains('\n'), "an error is one line: {error}");
    error.kind()
}

/// The names below `prefix` that hold objects.
pub(super) fn children(store: &dyn Store, prefix: &str) -> Vec<String> {
    let names = store.list_children(prefix).unwrap().into_iter();
    names.filter(|name| !store.list(&format!("{prefix}{name}/")).unwrap().is_empty()).collect()
}

pub(super) fn keys(store: &dyn Store, prefix: &str) -> Vec<String> {
    store.list(prefix).unwrap().into_iter().map(|object| object.key).collect()
}

/// Bytes that depend on their offset, so that a test notices a wrong range.
pub(super) fn pattern(bytes: usize) -> Vec<u8> {
    let numbers = (0u64..).flat_map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    numbers.take(bytes).collect()
}

/// A copy at an address with the alignment that pieces of parts need.
pub(super) fn aligned(content: &[u8]) -> Bytes {
    let mut memory = vec![0; content.len() + PIECE_ALIGN_BYTES];
    let start = memory.as_ptr().addr().next_multiple_of(PIECE_ALIGN_BYTES) - memory.as_ptr().addr();
    memory[start..start + content.len()].copy_from_slice(content);
    Bytes::from(memory).slice(start..start + content.len())
}

/// The range of an object, read into memory that begins `shift` bytes after an aligned address.
pub(super) fn read(
    store: &dyn Store,
    key: &str,
    offset: usize,
    bytes: usize,
    shift: usize,
) -> Result<Vec<u8>, StoreError> {
    let mut memory = vec![0; bytes + 2 * PIECE_ALIGN_BYTES];
    let start = memory.as_ptr().addr().next_multiple_of(PIECE_ALIGN_BYTES) - memory.as_ptr().addr() + shift;
    let buf = &mut memory[start..start + bytes];
    store.read_at(key, offset as u64, buf)?;
    Ok(buf.to_vec())
}
