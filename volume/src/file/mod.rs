//! Volumes that are regular files or block devices of this host.
//!
//! [`located`] resolves a path. [`handle`] opens it once for direct and once for buffered access. [`source`] reads it,
//! [`target`] writes it. All system calls go through rustix.

mod aligned;
#[cfg(any(test, feature = "conformance"))]
pub(crate) use aligned::AlignedBuf;
mod device;
mod extents;
mod handle;
pub(crate) mod identity;
mod in_use;
mod located;
pub(crate) mod origin;
pub(crate) mod partial;
mod probe;
pub(crate) mod same_file;
pub(crate) mod source;
mod sparse;
pub(crate) mod spool;
pub(crate) mod target;
mod write;
mod zero;

#[cfg(test)]
mod tests;
