//! Volumes: where a backup reads from ([`Source`]) and a restore writes to ([`Target`]).
//!
//! The traits use bytes, offsets and [`Extent`]s, not files. So there can be implementations for other volumes, such as
//! RBD images. This crate implements the traits for regular files and block devices: [`FileSource`] and [`FileTarget`].
//! Threads may share both. One call reads or writes one block. A failure is a [`VolumeError`] that names the volume and
//! the range.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod extent;
mod file;
mod rbd_url;
mod source;
mod target;
mod url;

/// The directory with the properties of block devices.
pub const DEVICE_FILES: &str = "/sys";
/// The files that list the users of block devices.
pub const USER_FILES: [&str; 2] = ["/proc/self/mountinfo", "/proc/swaps"];

pub use error::{ByteRange, VolumeError};
pub use extent::{Extent, ExtentKind};
pub use file::identity::identity;
pub use file::origin::{Origin, origin};
pub use file::partial::discard_abandoned;
pub use file::same_file::same_file;
pub use file::source::FileSource;
pub use file::spool::{Spool, SpooledSource};
pub use file::target::{FileTarget, TargetOptions};
pub use rbd_url::{BadRbdUrl, RbdUrl};
pub use source::Source;
pub use target::Target;
pub use url::VolumeUrl;
