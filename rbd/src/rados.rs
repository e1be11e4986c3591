//! The part of librados that Septet needs: a connection to a cluster, and a pool in it.
//!
//! A [`Cluster`] outlives its [`Pool`]s, because they hold references to it. All calls may come from several threads,
//! as librados allows. The declarations are those of the crate `ceph`. Its `connect_to_ceph` is not used, because it
//! connects at once. So our own user, keyring and time limits could not be set before.

#![allow(unsafe_code, reason = "this is the file that calls librados")]

use std::ffi::{CStr, CString, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use ceph::rados::{
    rados_conf_parse_env, rados_conf_read_file, rados_conf_set, rados_connect, rados_create2, rados_get_instance_id,
    rados_ioctx_create, rados_ioctx_destroy, rados_ioctx_get_id, rados_ioctx_set_namespace, rados_pool_reverse_lookup,
    rados_shutdown,
};

/// A handle of librados or librbd.
pub(crate) type Handle = *mut c_void;

/// An error of Ceph: an error number of the operating system, as a positive number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

impl Errno {
    pub(crate) const NOENT: Self = Self(2);
    pub(crate) const ACCESS: Self = Self(13);
    pub(crate) const PERM: Self = Self(1);
    pub(crate) const BUSY: Self = Self(16);
    pub(crate) const EXIST: Self = Self(17);
    pub(crate) const INVAL: Self = Self(22);
    pub(crate) const NOSPC: Self = Self(28);
    pub(crate) const ROFS: Self = Self(30);
    pub(crate) const RANGE: Self = Self(34);
    pub(crate) const SHUTDOWN: Self = Self(108);
    pub(crate) const TIMEDOUT: Self = Self(110);
    pub(crate) const DQUOT: Self = Self(122);
}

pub(crate) type Result<T> = std::result::Result<T, Errno>;

/// The result of a call. A negative number is an error.
pub(crate) fn check(status: impl Into<i64>) -> Result<u64> {
    let status = status.into();
    u64::try_from(status).map_err(|_| Errno(i32::try_from(-status).unwrap_or(Errno::INVAL.0)))
}

/// A text as an argument of a call.
pub(crate) fn text(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Errno::INVAL)
}

/// A text that a call wrote to our buffer.
pub(crate) fn text_of(buffer: &[u8]) -> String {
    CStr::from_bytes_until_nul(buffer).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A connection to a cluster.
pub(crate) struct Cluster(Handle);

// SAFETY: librados does its own locking, and a handle does not belong to a thread.
unsafe impl Send for Cluster {}
// SAFETY: as above.
unsafe impl Sync for Cluster {}

impl Cluster {
    /// A handle for a user such as `client.admin`, not connected yet.
    pub(crate) fn new(cluster: &str, client: &str) -> Result<Self> {
        let (cluster, client) = (text(cluster)?, text(client)?);
        let mut handle = null_mut();
        // SAFETY: the texts end in NUL and live until the call returns. The call creates the handle.
        check(unsafe { rados_create2(&raw mut handle, cluster.as_ptr(), client.as_ptr(), 0) })?;
        Ok(Self(handle))
    }

    /// Reads a configuration file. Without a path, reads the one in Ceph's standard places.
    pub(crate) fn read_conf(&self, path: Option<&str>) -> Result<()> {
        let path = path.map(text).transpose()?;
        let path = path.as_ref().map_or(null(), |path| path.as_ptr());
        // SAFETY: the handle is alive. A null path is documented, any other ends in NUL.
        check(unsafe { rados_conf_read_file(self.0, path) }).map(drop)
    }

    /// Reads the options in `CEPH_ARGS`.
    pub(crate) fn read_environment(&self) -> Result<()> {
        // SAFETY: the handle is alive. Null means CEPH_ARGS.
        check(unsafe { rados_conf_parse_env(self.0, null()) }).map(drop)
    }

    pub(crate) fn set(&self, option: &str, value: &str) -> Result<()> {
        let (option, value) = (text(option)?, text(value)?);
        // SAFETY: the handle is alive. The texts end in NUL.
        check(unsafe { rados_conf_set(self.0, option.as_ptr(), value.as_ptr()) }).map(drop)
    }

    pub(crate) fn connect(&self) -> Result<()> {
        // SAFETY: the handle is alive and not connected, because this is called only once, before everything else.
        check(unsafe { rados_connect(self.0) }).map(drop)
    }

    /// The cluster's number for this connection.
    pub(crate) fn instance(&self) -> u64 {
        // SAFETY: the handle is alive and connected.
        unsafe { rados_get_instance_id(self.0) }
    }

    pub(crate) fn pool_name(&self, id: i64) -> Result<String> {
        let mut name = [0u8; 1024];
        // SAFETY: the buffer has the length that is passed.
        check(unsafe { rados_pool_reverse_lookup(self.0, id, name.as_mut_ptr().cast(), name.len()) })?;
        Ok(text_of(&name))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // SAFETY: pools hold references to the cluster, so none is left. The handle is shut down only once.
        unsafe { rados_shutdown(self.0) }
    }
}

/// A pool, and a namespace in it.
pub(crate) struct Pool {
    handle: Handle,
    cluster: Arc<Cluster>,
}

// SAFETY: librados does its own locking.
unsafe impl Send for Pool {}
// SAFETY: as above. The namespace is set before the pool is shared.
unsafe impl Sync for Pool {}

impl Pool {
    pub(crate) fn open(cluster: &Arc<Cluster>, pool: &str, namespace: Option<&str>) -> Result<Self> {
        let (pool, namespace) = (text(pool)?, namespace.map(text).transpose()?);
        let mut handle = null_mut();
        // SAFETY: the cluster is connected. The text ends in NUL. The call creates the handle.
        check(unsafe { rados_ioctx_create(cluster.0, pool.as_ptr(), &raw mut handle) })?;
        if let Some(namespace) = namespace {
            // SAFETY: the handle was just created and is not shared yet.
            unsafe { rados_ioctx_set_namespace(handle, namespace.as_ptr()) };
        }
        Ok(Self { handle, cluster: Arc::clone(cluster) })
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(crate) fn id(&self) -> i64 {
        // SAFETY: the handle is alive.
        unsafe { rados_ioctx_get_id(self.handle) }
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: images hold references to the pool, so none is left. The handle is destroyed only once, before its
        // cluster.
        unsafe { rados_ioctx_destroy(self.handle) }
    }
}
