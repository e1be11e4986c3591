//! An RBD image as the target of a restore.
//!
//! A new image has a temporary name until it is finished, so an unfinished image is never mistaken for the volume. An
//! existing image is locked, so that no other client writes to it meanwhile. Zeros are deallocated.

use std::sync::{Arc, Mutex, PoisonError};

use septet_ipc::{Failure, RestoreJob};
use septet_volume::{ByteRange, RbdUrl, Target, VolumeError};

use crate::connect::connect;
use crate::ffi::{Image, Shape, feature};
use crate::layout::Layout;
use crate::rados::{Errno, Pool};
use crate::source::not_open;

/// The prefix of locks that librbd takes and breaks itself. Any other lock was made by a user.
const MANAGED_LOCK: &str = "auto ";
/// The suffix of a new image's temporary name.
const PARTIAL_SUFFIX: &str = ".septet-partial";
/// The most bytes that one request zeroes.
const ZERO_BYTES_MAX: u64 = 64 << 20;

/// An open image.
pub(crate) struct RbdTarget {
    name: String,
    image: Image,
    bytes: u64,
    /// The temporary and the final name of a new image, until it has the final one.
    unfinished: Mutex<Option<(String, String)>>,
    is_new: bool,
}

impl RbdTarget {
    /// Opens or creates the image that `job.target` names.
    pub(crate) fn open(job: &RestoreJob) -> Result<Self, Failure> {
        let url: RbdUrl = job.target.parse().map_err(Failure::volume)?;
        let name = url.name();
        if url.snapshot.is_some() {
            return Err(Failure::volume(format!("{name} is a snapshot, which is read-only: name an image")));
        }
        let pool = connect(&url)?;
        if job.create {
            let shape = job.tracking.as_ref().and_then(|tracking| Layout::backed_up(tracking)).map(Layout::shape);
            return Self::create(&pool, &url, job.volume_bytes, shape);
        }
        if !job.overwrite {
            let opened = Image::open_read_only(&pool, &url.image, None);
            opened.map_err(|errno| missing(errno, &url))?;
            return Err(Failure::volume(VolumeError::Exists { volume: name }));
        }
        let image = Image::open(&pool, &url.image).map_err(|errno| missing(errno, &url))?;
        let bytes = image.bytes().map_err(|errno| errno.at(&name, "inspect it"))?;
        if bytes < job.volume_bytes {
            return Err(Failure::volume(format!(
                "{name} is too small: it has {bytes} bytes and the volume has {}; enlarge it (rbd resize) or name another",
                job.volume_bytes
            )));
        }
        claim(&image, &name)?;
        Ok(Self { name, image, bytes: job.volume_bytes, unfinished: Mutex::default(), is_new: false })
    }

    fn create(pool: &Arc<Pool>, url: &RbdUrl, bytes: u64, shape: Option<Shape>) -> Result<Self, Failure> {
        let name = url.name();
        match Image::open_read_only(pool, &url.image, None) {
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.at(&name, "check whether it exists")),
            Ok(_) => return Err(Failure::volume(format!("{name} exists: leave --create out and add --overwrite"))),
        }
        let partial = format!("{}{PARTIAL_SUFFIX}", url.image);
        discard_abandoned(pool, &partial, &name)?;
        pool.create(&partial, bytes, shape.as_ref()).map_err(|errno| match &shape {
            Some(Shape { data_pool: Some(pool), .. }) if errno == Errno::NOENT => Failure::volume(format!(
                "{name} cannot be created: its data was in the pool {pool}, which does not exist here"
            )),
            _ => errno.at(&name, "create it"),
        })?;
        let image = Image::open(pool, &partial).map_err(|errno| errno.at(&name, "open the new image"))?;
        claim(&image, &name)?;
        let unfinished = Mutex::new(Some((partial, url.image.clone())));
        Ok(Self { name, image, bytes, unfinished, is_new: true })
    }

    fn check_range(&self, start: u64, size: u64) -> Result<(), VolumeError> {
        let end = start.saturating_add(size);
        if end <= self.bytes {
            return Ok(());
        }
        Err(VolumeError::OutOfRange { volume: self.name.clone(), range: ByteRange { start, end }, bytes: self.bytes })
    }
}

impl Target for RbdTarget {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn write_at(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), VolumeError> {
        self.check_range(offset_bytes, buf.len() as u64)?;
        if buf.is_empty() {
            return Ok(());
        }
        self.image.write(offset_bytes, buf).map_err(|errno| errno.io(&self.name, "write it"))
    }

    fn zero(&self, offset_bytes: u64, size_bytes: u64) -> Result<(), VolumeError> {
        self.check_range(offset_bytes, size_bytes)?;
        // A new image already reads as zeros.
        let (mut at, end) = (offset_bytes, if self.is_new { offset_bytes } else { offset_bytes + size_bytes });
        while at < end {
            let bytes = (end - at).min(ZERO_BYTES_MAX);
            let bytes_now = usize::try_from(bytes).unwrap_or(usize::MAX);
            self.image.write_zeroes(at, bytes_now).map_err(|errno| errno.io(&self.name, "write zeros to it"))?;
            at += bytes;
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), VolumeError> {
        self.image.flush().map_err(|errno| errno.io(&self.name, "flush it"))?;
        let unfinished = self.unfinished.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((partial, name)) = unfinished else { return Ok(()) };
        self.image.pool().rename(&partial, &name).map_err(|errno| match errno {
            Errno::EXIST => VolumeError::Exists { volume: self.name.clone() },
            errno => errno.io(&self.name, "rename the new image"),
        })
    }
}

fn missing(errno: Errno, url: &RbdUrl) -> Failure {
    match errno {
        Errno::NOENT => Failure::volume(format!("{} does not exist: add --create to create it", url.name())),
        errno => not_open(errno, url, "image"),
    }
}

/// Removes the unfinished image of an interrupted restore. Returns an error if that restore is still running.
fn discard_abandoned(pool: &Arc<Pool>, partial: &str, name: &str) -> Result<(), Failure> {
    match pool.remove(partial) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::BUSY) => {
            let cause =
                "is being created by another restore, or by one that crashed less than 30 s ago: try again later";
            Err(Failure::volume(format!("{name} {cause}")))
        }
        Err(errno) => Err(errno.at(name, "remove the leftover of an interrupted restore")),
    }
}

/// Makes sure that no other client has the image open now, and that none can write to it until it is closed.
fn claim(image: &Image, name: &str) -> Result<(), Failure> {
    let own = image.pool().cluster().instance();
    let watchers = image.watchers().map_err(|errno| errno.at(name, "list the clients that have it open"))?;
    if let Some((client, address)) = watchers.iter().find(|(client, _)| *client != own) {
        return Err(Failure::volume(VolumeError::InUse {
            volume: name.to_owned(),
            by: format!("client.{client} at {address} has it open"),
            advice: "see `rbd status` (a crashed client disappears after 30 s), or name another image",
        }));
    }
    let locks = image.locks().map_err(|errno| errno.at(name, "list its locks"))?;
    if let Some((client, lock)) = locks.iter().find(|(_, lock)| !lock.starts_with(MANAGED_LOCK)) {
        return Err(Failure::volume(VolumeError::InUse {
            volume: name.to_owned(),
            by: format!("{client} holds the lock {lock:?}"),
            advice: "see `rbd lock ls` and `rbd lock rm`, or name another image",
        }));
    }
    match image.features().map_err(|errno| errno.at(name, "inspect it"))? & feature::EXCLUSIVE_LOCK {
        0 => Ok(()),
        _ => image.lock().map_err(|errno| errno.at(name, "lock it")),
    }
}
