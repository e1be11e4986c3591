//! The part of librbd that Septet needs: the declarations, and safe types around them.
//!
//! An [`Image`] holds a reference to its pool, so the pool outlives the image. All calls may come from several threads,
//! as librbd allows. No completion has a callback. A completion without a callback may be released as soon as it was
//! waited for. A completion with a callback must outlive the image, because librbd still uses it after it has
//! signalled.

#![allow(unsafe_code, reason = "this is the file that binds librbd")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use crate::rados::{Errno, Handle, Pool, Result, check, text, text_of};

type DiffCallback = extern "C" fn(u64, usize, c_int, *mut c_void) -> c_int;

#[repr(C)]
struct SnapInfo {
    id: u64,
    size: u64,
    name: *const c_char,
}

#[repr(C)]
struct ImageInfo {
    size: u64,
    obj_size: u64,
    num_objs: u64,
    order: c_int,
    block_name_prefix: [c_char; 24],
    parent_pool: i64,
    parent_name: [c_char; 96],
}

#[repr(C)]
struct Watcher {
    addr: *mut c_char,
    id: i64,
    cookie: u64,
}

// SAFETY: the declarations are those of librbd.h in Ceph 16. Later versions only add to it.
#[link(name = "rbd")]
unsafe extern "C" {
    fn rbd_open(io: Handle, name: *const c_char, image: *mut Handle, snapshot: *const c_char) -> c_int;
    fn rbd_open_read_only(io: Handle, name: *const c_char, image: *mut Handle, snapshot: *const c_char) -> c_int;
    fn rbd_close(image: Handle) -> c_int;
    fn rbd_create4(io: Handle, name: *const c_char, bytes: u64, options: Handle) -> c_int;
    fn rbd_remove(io: Handle, name: *const c_char) -> c_int;
    fn rbd_rename(io: Handle, from: *const c_char, to: *const c_char) -> c_int;
    fn rbd_image_options_create(options: *mut Handle);
    fn rbd_image_options_destroy(options: Handle);
    fn rbd_image_options_set_string(options: Handle, option: c_int, value: *const c_char) -> c_int;
    fn rbd_image_options_set_uint64(options: Handle, option: c_int, value: u64) -> c_int;
    fn rbd_stat(image: Handle, info: *mut ImageInfo, bytes: usize) -> c_int;
    fn rbd_get_size(image: Handle, bytes: *mut u64) -> c_int;
    fn rbd_get_features(image: Handle, features: *mut u64) -> c_int;
    fn rbd_get_flags(image: Handle, flags: *mut u64) -> c_int;
    fn rbd_get_id(image: Handle, id: *mut c_char, bytes: usize) -> c_int;
    fn rbd_get_stripe_unit(image: Handle, bytes: *mut u64) -> c_int;
    fn rbd_get_stripe_count(image: Handle, count: *mut u64) -> c_int;
    fn rbd_get_data_pool_id(image: Handle) -> i64;
    fn rbd_snap_list(image: Handle, snapshots: *mut SnapInfo, count: *mut c_int) -> c_int;
    fn rbd_snap_list_end(snapshots: *mut SnapInfo);
    fn rbd_snap_create(image: Handle, name: *const c_char) -> c_int;
    fn rbd_snap_remove(image: Handle, name: *const c_char) -> c_int;
    fn rbd_diff_iterate2(
        image: Handle,
        from: *const c_char,
        offset: u64,
        bytes: u64,
        with_parent: u8,
        whole_object: u8,
        callback: DiffCallback,
        context: *mut c_void,
    ) -> c_int;
    fn rbd_aio_create_completion(context: *mut c_void, callback: *const c_void, completion: *mut Handle) -> c_int;
    fn rbd_aio_read(image: Handle, offset: u64, bytes: usize, into: *mut c_char, completion: Handle) -> c_int;
    fn rbd_aio_write(image: Handle, offset: u64, bytes: usize, from: *const c_char, completion: Handle) -> c_int;
    fn rbd_aio_write_zeroes(
        image: Handle,
        offset: u64,
        bytes: usize,
        completion: Handle,
        zero_flags: c_int,
        op_flags: c_int,
    ) -> c_int;
    fn rbd_aio_wait_for_complete(completion: Handle) -> c_int;
    fn rbd_aio_get_return_value(completion: Handle) -> isize;
    fn rbd_aio_release(completion: Handle);
    fn rbd_flush(image: Handle) -> c_int;
    fn rbd_lock_acquire(image: Handle, mode: c_int) -> c_int;
    fn rbd_watchers_list(image: Handle, watchers: *mut Watcher, count: *mut usize) -> c_int;
    fn rbd_watchers_list_cleanup(watchers: *mut Watcher, count: usize);
    fn rbd_list_lockers(
        image: Handle,
        exclusive: *mut c_int,
        tag: *mut c_char,
        tag_bytes: *mut usize,
        clients: *mut c_char,
        clients_bytes: *mut usize,
        cookies: *mut c_char,
        cookies_bytes: *mut usize,
        addresses: *mut c_char,
        addresses_bytes: *mut usize,
    ) -> isize;
}

/// The bits of an image's features.
pub(crate) mod feature {
    pub(crate) const LAYERING: u64 = 1;
    pub(crate) const STRIPING: u64 = 1 << 1;
    pub(crate) const EXCLUSIVE_LOCK: u64 = 1 << 2;
    pub(crate) const OBJECT_MAP: u64 = 1 << 3;
    pub(crate) const FAST_DIFF: u64 = 1 << 4;
    pub(crate) const DEEP_FLATTEN: u64 = 1 << 5;
    pub(crate) const JOURNALING: u64 = 1 << 6;
    pub(crate) const DATA_POOL: u64 = 1 << 7;
}

const FLAG_OBJECT_MAP_INVALID: u64 = 1;
const FLAG_FAST_DIFF_INVALID: u64 = 1 << 1;
const LOCK_MODE_EXCLUSIVE: c_int = 0;
const OPTION_FEATURES: c_int = 1;
const OPTION_ORDER: c_int = 2;
const OPTION_STRIPE_UNIT: c_int = 3;
const OPTION_STRIPE_COUNT: c_int = 4;
const OPTION_DATA_POOL: c_int = 10;

/// The properties of a new image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) features: u64,
    pub(crate) order: u64,
    /// The stripe unit in bytes, and the number of objects in a stripe.
    pub(crate) stripe: Option<(u64, u64)>,
    pub(crate) data_pool: Option<String>,
}

impl Pool {
    /// Makes an image. Without a shape, it gets Ceph's defaults.
    pub(crate) fn create(&self, name: &str, bytes: u64, shape: Option<&Shape>) -> Result<()> {
        let name = text(name)?;
        let options = Options::new(shape)?;
        // SAFETY: all handles are alive. The text ends in NUL.
        check(unsafe { rbd_create4(self.handle(), name.as_ptr(), bytes, options.0) }).map(drop)
    }

    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        let name = text(name)?;
        // SAFETY: the handle is alive. The text ends in NUL.
        check(unsafe { rbd_remove(self.handle(), name.as_ptr()) }).map(drop)
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (text(from)?, text(to)?);
        // SAFETY: the handle is alive. The texts end in NUL.
        check(unsafe { rbd_rename(self.handle(), from.as_ptr(), to.as_ptr()) }).map(drop)
    }
}

struct Options(Handle);

impl Options {
    fn new(shape: Option<&Shape>) -> Result<Self> {
        let mut handle = null_mut();
        // SAFETY: the call creates the handle.
        unsafe { rbd_image_options_create(&raw mut handle) };
        let options = Self(handle);
        let Some(shape) = shape else { return Ok(options) };
        options.set(OPTION_FEATURES, shape.features)?;
        options.set(OPTION_ORDER, shape.order)?;
        if let Some((unit_bytes, count)) = shape.stripe {
            options.set(OPTION_STRIPE_UNIT, unit_bytes)?;
            options.set(OPTION_STRIPE_COUNT, count)?;
        }
        if let Some(pool) = &shape.data_pool {
            let pool = text(pool)?;
            // SAFETY: the handle is alive. The text ends in NUL, and the call copies it.
            check(unsafe { rbd_image_options_set_string(options.0, OPTION_DATA_POOL, pool.as_ptr()) })?;
        }
        Ok(options)
    }

    fn set(&self, option: c_int, value: u64) -> Result<()> {
        // SAFETY: the handle is alive.
        check(unsafe { rbd_image_options_set_uint64(self.0, option, value) }).map(drop)
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: the handle is alive, and is destroyed only once.
        unsafe { rbd_image_options_destroy(self.0) }
    }
}

/// A snapshot of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) id: u64,
    pub(crate) bytes: u64,
    pub(crate) name: String,
}

/// An open image.
pub(crate) struct Image {
    handle: Handle,
    pool: Arc<Pool>,
}

// SAFETY: librbd does its own locking, and a handle does not belong to a thread.
unsafe impl Send for Image {}
// SAFETY: as above.
unsafe impl Sync for Image {}

impl Image {
    /// Opens an image for writing and for making snapshots.
    pub(crate) fn open(pool: &Arc<Pool>, name: &str) -> Result<Self> {
        let name = text(name)?;
        let mut handle = null_mut();
        // SAFETY: the pool is alive. The text ends in NUL. The call creates the handle.
        check(unsafe { rbd_open(pool.handle(), name.as_ptr(), &raw mut handle, null()) })?;
        Ok(Self { handle, pool: Arc::clone(pool) })
    }

    /// Opens a snapshot of an image, or the image itself, for reading.
    pub(crate) fn open_read_only(pool: &Arc<Pool>, name: &str, snapshot: Option<&str>) -> Result<Self> {
        let (name, snapshot) = (text(name)?, snapshot.map(text).transpose()?);
        let snapshot = snapshot.as_ref().map_or(null(), |snapshot| snapshot.as_ptr());
        let mut handle = null_mut();
        // SAFETY: as in `open`. A null snapshot means the image itself.
        check(unsafe { rbd_open_read_only(pool.handle(), name.as_ptr(), &raw mut handle, snapshot) })?;
        Ok(Self { handle, pool: Arc::clone(pool) })
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    pub(crate) fn bytes(&self) -> Result<u64> {
        self.number(rbd_get_size)
    }

    pub(crate) fn features(&self) -> Result<u64> {
        self.number(rbd_get_features)
    }

    /// Whether the object map can tell quickly which objects changed.
    pub(crate) fn has_fast_diff(&self) -> Result<bool> {
        let valid = self.number(rbd_get_flags)? & (FLAG_OBJECT_MAP_INVALID | FLAG_FAST_DIFF_INVALID) == 0;
        Ok(valid && self.features()? & feature::FAST_DIFF != 0)
    }

    /// The stripe unit in bytes, and the number of objects in a stripe.
    pub(crate) fn stripe(&self) -> Result<(u64, u64)> {
        Ok((self.number(rbd_get_stripe_unit)?, self.number(rbd_get_stripe_count)?))
    }

    /// The base-two logarithm of an object's size.
    pub(crate) fn order(&self) -> Result<u64> {
        let (block_name_prefix, parent_name) = ([0; 24], [0; 96]);
        let mut info =
            ImageInfo { size: 0, obj_size: 0, num_objs: 0, order: 0, block_name_prefix, parent_pool: 0, parent_name };
        // SAFETY: the handle is alive. The struct has the length that is passed.
        check(unsafe { rbd_stat(self.handle, &raw mut info, size_of::<ImageInfo>()) })?;
        check(info.order)
    }

    /// The pool that holds the data, if it is not the image's own pool.
    pub(crate) fn data_pool(&self) -> Result<Option<String>> {
        // SAFETY: the handle is alive.
        let id = unsafe { rbd_get_data_pool_id(self.handle) };
        if id < 0 || id == self.pool.id() {
            return Ok(None);
        }
        self.pool.cluster().pool_name(id).map(Some)
    }

    /// The image's own id. A new image of the same name has a different id.
    pub(crate) fn id(&self) -> Result<String> {
        let mut id = [0u8; 256];
        // SAFETY: the handle is alive. The buffer has the length that is passed.
        check(unsafe { rbd_get_id(self.handle, id.as_mut_ptr().cast(), id.len()) })?;
        Ok(text_of(&id))
    }

    pub(crate) fn snapshots(&self) -> Result<Vec<Snapshot>> {
        let mut room = 64;
        loop {
            let mut list: Vec<SnapInfo> = Vec::with_capacity(usize::try_from(room).unwrap_or(0));
            // SAFETY: there is room for `room` entries. If more are needed, the call sets `room`.
            match check(unsafe { rbd_snap_list(self.handle, list.as_mut_ptr(), &raw mut room) }) {
                Err(Errno::RANGE) => {}
                Err(errno) => return Err(errno),
                Ok(count) => {
                    // SAFETY: the call has filled in `count` entries. Their names live until the list is ended.
                    unsafe { list.set_len(usize::try_from(count).unwrap_or(0)) };
                    let snapshots = list.iter().map(|snapshot| Snapshot {
                        id: snapshot.id,
                        bytes: snapshot.size,
                        // SAFETY: as above. The names end in NUL.
                        name: unsafe { CStr::from_ptr(snapshot.name) }.to_string_lossy().into_owned(),
                    });
                    let snapshots = snapshots.collect();
                    if !list.is_empty() {
                        // SAFETY: this is the list that was filled in, and it is ended only once. (librbd finds its end
                        // by an entry without a name.)
                        unsafe { rbd_snap_list_end(list.as_mut_ptr()) };
                    }
                    return Ok(snapshots);
                }
            }
        }
    }

    pub(crate) fn make_snapshot(&self, name: &str) -> Result<()> {
        self.named(rbd_snap_create, name)
    }

    pub(crate) fn remove_snapshot(&self, name: &str) -> Result<()> {
        self.named(rbd_snap_remove, name)
    }

    /// Calls `found` for each extent in the range that differs from the snapshot `from`, or from an empty image if
    /// `from` is `None`. Passes the offset, the length, and whether the extent has data (otherwise it reads as zeros).
    /// If `whole_object` is true, extents are whole objects. They come in any order.
    pub(crate) fn differences(
        &self,
        from: Option<&str>,
        range: std::ops::Range<u64>,
        whole_object: bool,
        mut found: &mut dyn FnMut(u64, u64, bool),
    ) -> Result<()> {
        extern "C" fn call(offset: u64, bytes: usize, exists: c_int, context: *mut c_void) -> c_int {
            // SAFETY: the context is the closure that is passed below. It lives until the iteration returns, and only
            // one call uses it at a time.
            let found = unsafe { &mut *context.cast::<&mut dyn FnMut(u64, u64, bool)>() };
            found(offset, bytes as u64, exists != 0);
            0
        }
        let from = from.map(text).transpose()?;
        let from = from.as_ref().map_or(null(), |from| from.as_ptr());
        let context = (&raw mut found).cast();
        let (offset, bytes, whole) = (range.start, range.end.saturating_sub(range.start), u8::from(whole_object));
        // SAFETY: the handle is alive. The text ends in NUL. Callback and context fit each other.
        check(unsafe { rbd_diff_iterate2(self.handle, from, offset, bytes, 1, whole, call, context) }).map(drop)
    }

    /// Fills `into`. A read beyond the image's end is an error.
    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let (bytes, start) = (into.len(), into.as_mut_ptr());
        // SAFETY: the handle is alive, and `into` is borrowed until the read is done, because `complete` waits for it.
        let read =
            Self::complete(|completion| unsafe { rbd_aio_read(self.handle, offset, bytes, start.cast(), completion) })?;
        if read == bytes as u64 { Ok(()) } else { Err(Errno::RANGE) }
    }

    pub(crate) fn write(&self, offset: u64, from: &[u8]) -> Result<()> {
        // SAFETY: the handle is alive, and `from` is borrowed until the write is done, because `complete` waits for it.
        Self::complete(|completion| unsafe {
            rbd_aio_write(self.handle, offset, from.len(), from.as_ptr().cast(), completion)
        })
        .map(drop)
    }

    /// Makes the range read as zeros, without storing data if possible. (A discard would not change a range that is
    /// smaller than its granularity.)
    pub(crate) fn write_zeroes(&self, offset: u64, bytes: usize) -> Result<()> {
        // SAFETY: the handle is alive. No memory is shared.
        Self::complete(|completion| unsafe { rbd_aio_write_zeroes(self.handle, offset, bytes, completion, 0, 0) })
            .map(drop)
    }

    pub(crate) fn flush(&self) -> Result<()> {
        // SAFETY: the handle is alive.
        check(unsafe { rbd_flush(self.handle) }).map(drop)
    }

    /// Takes the exclusive lock and keeps it. Other clients that request the lock are refused until this image is
    /// closed.
    pub(crate) fn lock(&self) -> Result<()> {
        // SAFETY: the handle is alive.
        check(unsafe { rbd_lock_acquire(self.handle, LOCK_MODE_EXCLUSIVE) }).map(drop)
    }

    /// The clients that have the image open, including this one: the number and address of each.
    pub(crate) fn watchers(&self) -> Result<Vec<(u64, String)>> {
        let mut room = 64usize;
        loop {
            let mut list: Vec<Watcher> = Vec::with_capacity(room);
            // SAFETY: there is room for `room` entries. The call sets `room` to the number of entries that there are.
            match check(unsafe { rbd_watchers_list(self.handle, list.as_mut_ptr(), &raw mut room) }) {
                Err(Errno::RANGE) => {}
                Err(errno) => return Err(errno),
                Ok(_) => {
                    // SAFETY: the call has filled in `room` entries. Their addresses live until the clean-up.
                    unsafe { list.set_len(room) };
                    let address = |watcher: &Watcher| {
                        // SAFETY: as above. The addresses end in NUL.
                        unsafe { CStr::from_ptr(watcher.addr) }.to_string_lossy().into_owned()
                    };
                    let found = list.iter().map(|watcher| (watcher.id.cast_unsigned(), address(watcher))).collect();
                    // SAFETY: this is the list that was filled in, and it is cleaned up only once.
                    unsafe { rbd_watchers_list_cleanup(list.as_mut_ptr(), room) };
                    return Ok(found);
                }
            }
        }
    }

    /// The locks on the image: the client, such as `client.4123`, and the client's name for the lock.
    pub(crate) fn locks(&self) -> Result<Vec<(String, String)>> {
        let mut exclusive = 0;
        let [mut tag, mut clients, mut cookies, mut addresses] = [const { [0u8; 8192] }; 4];
        let [mut tag_bytes, mut clients_bytes, mut cookies_bytes, mut addresses_bytes] = [8192usize; 4];
        // SAFETY: the handle is alive, and each buffer has the length that is passed.
        let count = check(unsafe {
            rbd_list_lockers(
                self.handle,
                &raw mut exclusive,
                tag.as_mut_ptr().cast(),
                &raw mut tag_bytes,
                clients.as_mut_ptr().cast(),
                &raw mut clients_bytes,
                cookies.as_mut_ptr().cast(),
                &raw mut cookies_bytes,
                addresses.as_mut_ptr().cast(),
                &raw mut addresses_bytes,
            )
        } as i64)?;
        let texts = |buffer: &[u8]| -> Vec<String> {
            buffer.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned()).collect()
        };
        Ok(texts(&clients).into_iter().zip(texts(&cookies)).take(usize::try_from(count).unwrap_or(0)).collect())
    }

    /// SAFETY: `get` is one of the calls above that take an image and a pointer to a number.
    fn number(&self, get: unsafe extern "C" fn(Handle, *mut u64) -> c_int) -> Result<u64> {
        let mut number = 0;
        // SAFETY: the handle is alive. The call writes one number.
        check(unsafe { get(self.handle, &raw mut number) })?;
        Ok(number)
    }

    /// SAFETY: `call` is one of the calls above that take an image and a name.
    fn named(&self, call: unsafe extern "C" fn(Handle, *const c_char) -> c_int, name: &str) -> Result<()> {
        let name = text(name)?;
        // SAFETY: the handle is alive. The text ends in NUL.
        check(unsafe { call(self.handle, name.as_ptr()) }).map(drop)
    }

    /// Starts a request and waits for it. Returns its result.
    fn complete(start: impl FnOnce(Handle) -> c_int) -> Result<u64> {
        let mut completion = null_mut();
        // SAFETY: the call creates the completion. There is no callback.
        check(unsafe { rbd_aio_create_completion(null_mut(), null(), &raw mut completion) })?;
        let result = check(start(completion)).and_then(|_| {
            // SAFETY: the completion is alive and belongs to a request that was started.
            unsafe {
                rbd_aio_wait_for_complete(completion);
                check(rbd_aio_get_return_value(completion) as i64)
            }
        });
        // SAFETY: the completion is released only once, and no thread waits for it.
        unsafe { rbd_aio_release(completion) };
        result
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: every request has been waited for. The handle is closed only once, before its pool.
        unsafe { rbd_close(self.handle) };
    }
}
