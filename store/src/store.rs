//! Two traits. A [`Store`] holds objects. An [`Upload`] is one large object that is being written.
//!
//! Both are object-safe and `Send + Sync`, so a wrapper (one that counts, or injects faults) is a store too. Keys are
//! `/`-separated paths. [`check_key`](crate::check_key) checks them.

use crate::{Counts, StoreError};
use bytes::Bytes;
use std::time::SystemTime;

/// Pieces of a part whose address and length are multiples of this can be written without a copy.
pub const PIECE_ALIGN_BYTES: usize = 4096;

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectInfo {
    /// The whole key, prefix included.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// When it was written, by the clock of [`Store::now`]. `None` if the store does not report it.
    pub modified: Option<SystemTime>,
}

/// How large objects should be divided for this store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartRules {
    /// The length of every part of an upload except the last. A multiple of [`PIECE_ALIGN_BYTES`].
    pub part_bytes: usize,
    /// How many concurrent parts keep the store busy.
    pub parts_in_flight: usize,
    /// The most bytes that one read should request. Enough to hide the latency of a request.
    pub read_bytes: u64,
    /// About how many objects a large volume should be divided into. `None` for any number.
    pub objects_max: Option<u64>,
}

/// A place that holds objects.
pub trait Store: Send + Sync {
    /// The URL that [`open`](crate::open) takes. It holds no secrets.
    fn url(&self) -> String;

    /// Reads a whole small object. An object larger than `bytes_max` is `Damaged`.
    fn get(&self, key: &str, bytes_max: u64) -> Result<Vec<u8>, StoreError>;

    /// Fills `buf` with the object's bytes from `offset_bytes` on. An object that ends earlier is `Damaged`.
    fn read_at(&self, key: &str, offset_bytes: u64, buf: &mut [u8]) -> Result<(), StoreError>;

    /// The object's length.
    fn len(&self, key: &str) -> Result<u64, StoreError>;

    /// Writes a small object, atomically and durably. Replaces an existing one.
    fn put(&self, key: &str, body: Bytes) -> Result<(), StoreError>;

    /// Like [`put`](Store::put), but fails with `AlreadyExists` if the key exists. If several writers create the same
    /// key, exactly one succeeds.
    fn put_if_absent(&self, key: &str, body: Bytes) -> Result<(), StoreError>;

    /// Begins to write a large object. [`Upload::finish`] makes it visible and replaces an existing object.
    fn upload(&self, key: &str) -> Result<Box<dyn Upload>, StoreError>;

    /// All objects under `prefix` (empty, or ending in `/`), sorted by key. Unfinished uploads are not listed.
    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError>;

    /// The names one level below `prefix` that hold objects, sorted, without slashes. Some servers also list names that
    /// have become empty.
    fn list_children(&self, prefix: &str) -> Result<Vec<String>, StoreError>;

    /// Whether the store is empty. Files of other programs count. A new repository may only be created in an empty
    /// store.
    fn is_empty(&self) -> Result<bool, StoreError>;

    /// The time by the store's own clock, which sets [`ObjectInfo::modified`]. `None` if it cannot be known.
    fn now(&self) -> Result<Option<SystemTime>, StoreError>;

    /// Removes objects durably. An absent object is not an error. Stops at the first object that cannot be removed.
    fn delete(&self, keys: &[String]) -> Result<(), StoreError>;

    /// Reads in advance what the first write needs to know about the server. Ignores errors: the first write reports
    /// them.
    fn prepare_to_write(&self) {}

    /// A URL for other processes that write to this store. It includes what this process has found out about the
    /// server.
    fn url_for_writers(&self) -> Result<String, StoreError> {
        Ok(self.url())
    }

    /// A warning if uploads are not well protected against corruption in transit.
    fn note(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    /// What was written and sent since the store was opened.
    fn counts(&self) -> Counts {
        Counts::default()
    }

    /// How objects of this store should be divided.
    fn part_rules(&self) -> PartRules;

    /// Removes stale uploads under `prefix` and returns their number. An upload that is still running there fails. The
    /// caller must know that there is none.
    fn abort_unfinished(&self, prefix: &str) -> Result<u64, StoreError>;
}

/// An object that is written in parts, in any order, from several threads. Dropping it before `finish` aborts it.
pub trait Upload: Send + Sync {
    /// Writes part `number` (0, 1, 2 …), which holds the bytes from `offset_bytes` on. The body is a list of pieces.
    /// Their addresses and lengths are multiples of [`PIECE_ALIGN_BYTES`]. Only the last part may be unaligned. If a
    /// part is put twice, the second one replaces the first.
    fn put_part(&self, number: u32, offset_bytes: u64, body: Vec<Bytes>) -> Result<(), StoreError>;

    /// Makes the object visible, durably, with exactly the bytes that were put. A gap or an overlap is an error.
    fn finish(&self) -> Result<(), StoreError>;

    /// Aborts the upload and removes its parts. After [`finish`](Upload::finish) it does nothing.
    fn abort(&self);
}
