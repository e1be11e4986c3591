//! Finds the holes of a file with SEEK_DATA and SEEK_HOLE.
//!
//! A range is a hole only if the file system reports it. Everything else is data.

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::handle::Handle;
use super::located::VolumeKind;
use crate::error::ByteRange;
use crate::{Extent, ExtentKind};

/// The extent at the start of `range`, which lies within the volume.
pub(super) fn next_extent(handle: &Handle, range: ByteRange) -> Extent {
    let (end, kind) = match handle.kind {
        VolumeKind::Device { .. } => (range.end, ExtentKind::Data),
        VolumeKind::File => classify(handle, range),
    };
    Extent { offset_bytes: range.start, size_bytes: end - range.start, kind }
}

fn classify(handle: &Handle, range: ByteRange) -> (u64, ExtentKind) {
    match seek(&handle.buffered_fd, SeekFrom::Data(range.start)) {
        // No data from here to the end of the file.
        Err(Errno::NXIO) => (range.end, ExtentKind::Hole),
        Ok(data) if data > range.start => (data.min(range.end), ExtentKind::Hole),
        Ok(_) => match seek(&handle.buffered_fd, SeekFrom::Hole(range.start)) {
            Ok(hole) if hole > range.start => (hole.min(range.end), ExtentKind::Data),
            _ => (range.end, ExtentKind::Data),
        },
        Err(_) => (range.end, ExtentKind::Data),
    }
}
