//! The two traits: [`Store`] holds objects, [`Upload`] is one large object on its way in.
//!
//! Both are object-safe and `Send + Sync`, so that a wrapper (counting, failing on purpose)
//! is a store too. Keys are `/`-separated paths, checked by [`check_key`](crate::check_key).

use crate::StoreError;
use bytes::Bytes;

/// What the pieces of a part are aligned to, in address and length, to be written without a copy.
pub const PIECE_ALIGN_BYTES: usize = 4096;

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectInfo {
    /// The whole key, prefix included.
    pub key: String,
    /// Its length.
    pub bytes: u64,
}

/// How a store would like large objects to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartRules {
    /// The length of every part of an upload but the last; a multiple of [`PIECE_ALIGN_BYTES`].
    pub part_bytes: usize,
    /// How many parts at once keep the store busy.
    pub parts_in_flight: usize,
    /// The most that one read should ask for: enough to hide what a request costs.
    pub read_bytes: u64,
    /// Into how many objects, roughly, a large volume is best divided; none: as many as there are.
    pub objects_max: Option<u64>,
}

/// A place that holds objects.
pub trait Store: Send + Sync {
    /// Where this is, as [`open`](crate::open) takes it; holds no secrets.
    fn url(&self) -> String;

    /// A whole small object; one that is larger than `bytes_max` is `Damaged`.
    fn get(&self, key: &str, bytes_max: u64) -> Result<Vec<u8>, StoreError>;

    /// Fills `buf` from `offset_bytes` on; an object that ends before that is `Damaged`.
    fn read_at(&self, key: &str, offset_bytes: u64, buf: &mut [u8]) -> Result<(), StoreError>;

    /// The object's length.
    fn len(&self, key: &str) -> Result<u64, StoreError>;

    /// Writes a small object, atomically and durably; replaces what was there.
    fn put(&self, key: &str, body: Bytes) -> Result<(), StoreError>;

    /// Like [`put`](Store::put), but `AlreadyExists` if the key is taken: of several writers one wins.
    fn put_if_absent(&self, key: &str, body: Bytes) -> Result<(), StoreError>;

    /// Begins a large object, which becomes visible (replacing what was there) at [`Upload::finish`].
    fn upload(&self, key: &str) -> Result<Box<dyn Upload>, StoreError>;

    /// All objects under `prefix` (empty, or ending in `/`), sorted by key; unfinished uploads don't show.
    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError>;

    /// The names one level below `prefix` that hold objects of their own, sorted, without slashes. Some
    /// servers go on naming those in which nothing lies any more.
    fn list_children(&self, prefix: &str) -> Result<Vec<String>, StoreError>;

    /// Whether nobody has put anything here, foreign files included: what a new repository may begin in.
    fn is_empty(&self) -> Result<bool, StoreError>;

    /// Removes objects, durably; one that is absent is no error. Stops at the first that can't be removed.
    fn delete(&self, keys: &[String]) -> Result<(), StoreError>;

    /// What a user should know of how what is written here is guarded on its way; none if all is well.
    fn note(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    /// How uploads to this store are best cut.
    fn part_rules(&self) -> PartRules;

    /// Removes what uploads under `prefix` that never finished have left; tells how many there were.
    /// An upload that is still running there fails: the caller knows that there is none.
    fn abort_unfinished(&self, prefix: &str) -> Result<u64, StoreError>;
}

/// An object written in parts, in any order, from several threads; dropped unfinished, it is aborted.
pub trait Upload: Send + Sync {
    /// Part `number` (0, 1, 2 …) holds the bytes from `offset_bytes` on. The body is a list of pieces,
    /// each with an address and a length that are multiples of [`PIECE_ALIGN_BYTES`], except that
    /// anything goes in the last part. A part put twice counts once, as it was put last.
    fn put_part(&self, number: u32, offset_bytes: u64, body: Vec<Bytes>) -> Result<(), StoreError>;

    /// Makes the object visible, durably: exactly the bytes put. A gap or an overlap is an error.
    fn finish(&self) -> Result<(), StoreError>;

    /// Gives the upload up and leaves nothing; after [`finish`](Upload::finish) it does nothing.
    fn abort(&self);
}
