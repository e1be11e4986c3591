//! Volumes: where a backup reads from ([`Source`]) and a restore writes to ([`Target`]).
//!
//! The traits speak of bytes, offsets and [`Extent`]s and know no files, so that an RBD image can be
//! either. Here are the two for a regular file or a block device: [`FileSource`] and [`FileTarget`].
//! Both may be shared by any number of threads; a block is read or written by one call.
//! What can't be read or written is a [`VolumeError`] that names the volume and the range.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod extent;
mod file;
mod rbd_url;
mod source;
mod target;

/// What is looked at to know a block device.
pub const DEVICE_FILES: &str = "/sys";
/// What is looked at to know who uses it.
pub const USER_FILES: [&str; 2] = ["/proc/self/mountinfo", "/proc/swaps"];

pub use error::{ByteRange, VolumeError};
pub use extent::{Extent, ExtentKind};
pub use file::identity::identity;
pub use file::partial::discard_abandoned;
pub use file::same_file::same_file;
pub use file::source::FileSource;
pub use file::spool::{Spool, SpooledSource};
pub use file::target::{FileTarget, TargetOptions};
pub use rbd_url::{BadRbdUrl, RbdUrl};
pub use source::Source;
pub use target::Target;
