//! A snapshot of an RBD image as the source of a backup.
//!
//! For a live image, a snapshot is made for the backup. A user's snapshot is read as it is. Holes are found by the
//! object map. If the snapshot of the last backup still exists, it is the base, and unchanged ranges are found, too.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use septet_format::Tracking;
use septet_ipc::agent::note;
use septet_ipc::{AgentKind, BackupJob, Failure, FailureKind};
use septet_volume::{Extent, ExtentKind, RbdUrl, Source, VolumeError, VolumeUrl};

use crate::changes::{WINDOW_BYTES, Window};
use crate::connect::connect;
use crate::ffi::{Image, Snapshot};
use crate::layout::{KIND, Layout};
use crate::rados::{Errno, Pool};
use crate::snapshots;

/// An open snapshot.
pub(crate) struct RbdSource {
    name: String,
    url: RbdUrl,
    image: Image,
    snapshot: Snapshot,
    base: Option<Base>,
    fast_diff: bool,
    object_bytes: u64,
    window: Mutex<Option<Window>>,
    _closing: Option<Closing>,
}

/// The snapshot that is compared with.
struct Base {
    snapshot: Snapshot,
    /// Up to here both snapshots have the same blocks. If the short last block of one is a whole block of the other,
    /// the two can't be compared.
    comparable_bytes: u64,
}

/// A snapshot that was found, and Ceph's information about it.
struct Opened {
    image: Image,
    /// All snapshots of the image.
    all: Vec<Snapshot>,
    snapshot: Snapshot,
    layout: Layout,
    tracking: Tracking,
}

impl Opened {
    fn new(pool: &Arc<Pool>, url: &RbdUrl, wanted: &str) -> Result<Self, Failure> {
        let name = url.name();
        let wrong = |errno: Errno| errno.at(&name, "inspect it");
        let opened = Image::open_read_only(pool, &url.image, Some(wanted));
        let image = opened.map_err(|errno| not_open(errno, url, "snapshot"))?;
        let all = image.snapshots().map_err(wrong)?;
        let found = all.iter().find(|snapshot| snapshot.name == wanted).cloned();
        let snapshot = found.ok_or_else(|| gone(&name, wanted)).map_err(Failure::volume)?;
        let layout = Layout::of(&image).map_err(wrong)?;
        let tracking = layout.tracking(&image, &snapshot).map_err(wrong)?;
        Ok(Self { image, all, snapshot, layout, tracking })
    }
}

/// Identifies a user's snapshot.
///
/// # Errors
/// If no snapshot is named, if there is none of that name, or if Ceph can't be queried.
pub(crate) fn identify(pool: &Arc<Pool>, url: &RbdUrl) -> Result<Tracking, Failure> {
    let wanted = url.snapshot.as_ref().ok_or_else(|| Failure::volume(format!("{url} names no snapshot")))?;
    Ok(Opened::new(pool, url, wanted)?.tracking)
}

impl RbdSource {
    /// Opens the image that `job.source` names, and adds its identity to the job.
    pub(crate) fn open(job: &mut BackupJob) -> Result<Self, Failure> {
        let url: RbdUrl = job.source.parse().map_err(Failure::volume)?;
        let pool = connect(&url)?;
        let name = url.name();
        let wanted = url.snapshot.clone().unwrap_or_else(|| snapshots::name_for(job));
        let closing = match url.snapshot {
            Some(_) => None,
            // The interrupted run read this snapshot. Its stored blocks are only valid for the same one.
            None if job.resume.is_some_and(|resume| resume.unchanged) => {
                find_snapshot(&pool, &url, &wanted)?;
                None
            }
            None => Some(make_snapshot(&pool, &url, &wanted)?),
        };
        let Opened { image, all, snapshot, layout, tracking } = Opened::new(&pool, &url, &wanted)?;
        if job.tracking.as_ref().is_some_and(|known| **known != tracking) {
            return Err(Failure::volume(gone(&name, &wanted)));
        }
        let base = job.base.as_ref().and_then(|base| {
            find_base(base, &tracking, &snapshot, &all, job.block_bytes)
                .inspect_err(|why| {
                    note(AgentKind::Reader, format!("{name}: {why}: the whole volume is read and compared"))
                })
                .ok()
        });
        let fast_diff = image.has_fast_diff().map_err(|errno| errno.at(&name, "inspect it"))?;
        let object_bytes = 1 << layout.order.min(22);
        job.source_identity = VolumeUrl::Image(url.clone()).origin(Some(&tracking.source_id)).identity;
        job.tracking = Some(Box::new(tracking));
        let window = Mutex::default();
        Ok(Self { name, url, image, snapshot, base, fast_diff, object_bytes, window, _closing: closing })
    }

    /// Asks Ceph what is in a window. The object map tells which objects differ, and a second query the exact extents.
    fn look(&self, range: Range<u64>) -> Result<Window, Errno> {
        let Some(base) = &self.base else {
            let mut window = Window::new(range.clone(), ExtentKind::Hole);
            self.image.differences(None, range, true, &mut |offset, bytes, exists| {
                if exists {
                    window.note(offset..offset.saturating_add(bytes), ExtentKind::Data);
                }
            })?;
            return Ok(window);
        };
        let mut window = Window::new(range.clone(), ExtentKind::Unchanged);
        window.note(base.snapshot.bytes..range.end.max(base.snapshot.bytes), ExtentKind::Hole);
        window.note(base.comparable_bytes..base.snapshot.bytes.max(base.comparable_bytes), ExtentKind::Data);
        let from = Some(base.snapshot.name.as_str());
        let mut changed = Vec::new();
        if self.fast_diff {
            self.image.differences(from, range, true, &mut |offset, bytes, _| {
                changed.push(offset..offset.saturating_add(bytes));
            })?;
        } else {
            changed.push(range);
        }
        for range in merged(changed) {
            self.image.differences(from, range, false, &mut |offset, bytes, exists| {
                let kind = if exists { ExtentKind::Data } else { ExtentKind::Hole };
                window.note(offset..offset.saturating_add(bytes), kind);
            })?;
        }
        Ok(window)
    }

    fn check_range(&self, start: u64, end: u64) -> Result<(), VolumeError> {
        if start <= end && end <= self.snapshot.bytes {
            return Ok(());
        }
        let range = septet_volume::ByteRange { start, end };
        Err(VolumeError::OutOfRange { volume: self.name.clone(), range, bytes: self.snapshot.bytes })
    }
}

impl Source for RbdSource {
    fn bytes(&self) -> u64 {
        self.snapshot.bytes
    }

    fn describe(&self) -> String {
        self.name.clone()
    }

    fn next_extent(&self, offset_bytes: u64, end_bytes: u64) -> Result<Extent, VolumeError> {
        self.check_range(offset_bytes, end_bytes)?;
        if offset_bytes == end_bytes {
            return Ok(Extent { offset_bytes, size_bytes: 0, kind: ExtentKind::Data });
        }
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.as_ref().is_none_or(|window| !window.contains(offset_bytes)) {
            let start = offset_bytes - offset_bytes % WINDOW_BYTES;
            let range = start..start.saturating_add(WINDOW_BYTES).min(self.snapshot.bytes);
            let looked = self.look(range).map_err(|errno| errno.io(&self.name, "list its allocated ranges"))?;
            *window = Some(looked);
        }
        let extent = window.as_ref().map(|window| window.extent(offset_bytes, end_bytes));
        let (end, kind) = extent.unwrap_or((end_bytes, ExtentKind::Data));
        Ok(Extent { offset_bytes, size_bytes: end - offset_bytes, kind })
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), VolumeError> {
        self.check_range(offset_bytes, offset_bytes.saturating_add(buf.len() as u64))?;
        if buf.is_empty() {
            return Ok(());
        }
        self.image.read(offset_bytes, buf).map_err(|errno| errno.io(&self.name, "read it"))
    }

    /// One object, because that is one request to one OSD.
    fn read_bytes_best(&self) -> u64 {
        self.object_bytes
    }

    /// A snapshot keeps its size. But reads of a removed snapshot return wrong data, so it must still exist after the
    /// last read.
    fn check_size(&self) -> Result<Option<u64>, VolumeError> {
        let opened = Image::open_read_only(self.image.pool(), &self.url.image, None);
        let all = match opened.and_then(|image| image.snapshots()) {
            Ok(all) => all,
            Err(Errno::NOENT) => return Err(gone(&self.name, &self.snapshot.name)),
            Err(errno) => return Err(errno.io(&self.name, "check whether its snapshot still exists")),
        };
        if all.iter().any(|snapshot| snapshot.id == self.snapshot.id) {
            return Ok(None);
        }
        Err(gone(&self.name, &self.snapshot.name))
    }
}

fn gone(volume: &str, snapshot: &str) -> VolumeError {
    let reason = format!("its snapshot {snapshot} was removed while it was read: back it up again");
    VolumeError::Io { volume: volume.to_owned(), action: "use the data that was read", reason }
}

/// The error for an image that can't be opened.
pub(crate) fn not_open(errno: Errno, url: &RbdUrl, what: &str) -> Failure {
    let name = url.name();
    match errno {
        Errno::NOENT => Failure::volume(format!("{name}: this {what} does not exist: see `rbd ls` and `rbd snap ls`")),
        errno => errno.at(&name, "open it"),
    }
}

/// An image that another thread closes. Releasing its lock takes as long as reading many blocks.
struct Closing(Option<JoinHandle<()>>);

impl Closing {
    fn new(image: Image) -> Self {
        // If the thread does not start, the closure is dropped together with the image. That closes the image here.
        Self(thread::Builder::new().name("close".to_owned()).spawn(move || drop(image)).ok())
    }
}

impl Drop for Closing {
    /// Waits, because the lock would remain if the process ended before the image is closed.
    fn drop(&mut self) {
        // The thread only drops the image, so it does not panic.
        let _ = self.0.take().map(JoinHandle::join);
    }
}

/// Makes the backup's snapshot. Replaces a leftover snapshot of the same name from an earlier run. The image is open
/// for writing only during this, so a reader that is killed later leaves no lock behind.
fn make_snapshot(pool: &Arc<Pool>, url: &RbdUrl, snapshot: &str) -> Result<Closing, Failure> {
    let image = Image::open(pool, &url.image).map_err(|errno| not_open(errno, url, "image"))?;
    let made = match image.make_snapshot(snapshot) {
        Err(Errno::EXIST) => image.remove_snapshot(snapshot).and_then(|()| image.make_snapshot(snapshot)),
        made => made,
    };
    made.map_err(|errno| errno.at(&url.name(), "create a snapshot of it"))?;
    Ok(Closing::new(image))
}

/// Checks that the snapshot of a resumed backup still exists.
fn find_snapshot(pool: &Arc<Pool>, url: &RbdUrl, snapshot: &str) -> Result<(), Failure> {
    let image = Image::open_read_only(pool, &url.image, None).map_err(|errno| not_open(errno, url, "image"))?;
    let all = image.snapshots().map_err(|errno| errno.at(&url.name(), "list its snapshots"))?;
    let why = || format!("{}: the snapshot that the interrupted run read no longer exists", url.name());
    let found = all.iter().any(|known| known.name == snapshot);
    found.then_some(()).ok_or_else(|| Failure::new(FailureKind::Untrusted, why()))
}

/// Finds the parent's snapshot. The error says why it can't be the base.
fn find_base(
    parent: &Tracking,
    tracking: &Tracking,
    read: &Snapshot,
    all: &[Snapshot],
    block_bytes: u32,
) -> Result<Base, String> {
    if parent.kind != KIND || parent.source_id != tracking.source_id {
        return Err("it was created again after the last backup".to_owned());
    }
    let is_parent =
        |snapshot: &&Snapshot| snapshot.id.to_string() == parent.snapshot_id && snapshot.name == parent.snapshot;
    let found = all.iter().find(is_parent);
    let snapshot =
        found.ok_or_else(|| format!("the last backup's snapshot {} no longer exists", parent.snapshot))?.clone();
    if snapshot.id > read.id {
        return Err("this snapshot is older than the last backup".to_owned());
    }
    let bytes = read.bytes;
    let same_end = snapshot.bytes.min(bytes);
    let whole_blocks = same_end - same_end % u64::from(block_bytes.max(1));
    let comparable_bytes = if snapshot.bytes == bytes { bytes } else { whole_blocks };
    Ok(Base { snapshot, comparable_bytes })
}

/// Sorts ranges and merges those that touch.
fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}
