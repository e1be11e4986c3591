//! Objects under keys: the storage of a repository.
//!
//! [`open`] turns a path or a URL into a [`Store`]. Large objects are written through an [`Upload`], part by part and
//! in any order. The calls block, because agents are threads.
//!
//! Every store passes the suite `conformance` (a feature). An object is visible completely or not at all. Once a write
//! has returned, its data survives a crash. If several writers call [`Store::put_if_absent`] for one key, exactly one
//! succeeds.

mod access;
mod both;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod count;
mod directory;
#[cfg(any(test, feature = "distant"))]
mod distant;
mod error;
mod given_by;
mod key;
#[cfg(any(test, feature = "simulation"))]
mod memory;
mod needs;
mod open;
#[cfg(feature = "s3")]
mod s3;
mod store;

pub use access::Access;
pub use both::both;
pub use count::Counts;
pub use directory::Directory;
#[cfg(any(test, feature = "distant"))]
pub use distant::{Distant, Request, RequestLog, Requests};
pub use error::{StoreError, StoreErrorKind};
pub use key::{KEY_BYTES_MAX, check_key, check_prefix};
#[cfg(any(test, feature = "simulation"))]
pub use memory::{Memory, Stop};
pub use needs::{needs_to_read, needs_to_write, wants_credentials};
pub use open::{open, open_handed_on};
#[cfg(feature = "s3")]
pub use s3::S3;
pub use store::{ObjectInfo, PIECE_ALIGN_BYTES, PartRules, Store, Upload};
