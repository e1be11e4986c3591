//! librados as far as Septet needs it: a connection, and a pool in it.
//!
//! A [`Cluster`] outlives its [`Pool`]s, which hold it. All calls may come from several threads, as
//! librados allows. The declarations are those of the crate `ceph`. Its `connect_to_ceph` is not used: it connects at
//! once, so that there is no room for a user, a keyring and time limits of our own.

#![allow(unsafe_code, reason = "this is the file that calls librados")]

use std::ffi::{CStr, CString, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use ceph::rados::{
    rados_conf_parse_env, rados_conf_read_file, rados_conf_set, rados_connect, rados_create2, rados_get_instance_id,
    rados_ioctx_create, rados_ioctx_destroy, rados_ioctx_get_id, rados_ioctx_set_namespace, rados_pool_reverse_lookup,
    rados_shutdown,
};

/// Whatever librados and librbd hand out.
pub(crate) type Handle = *mut c_void;

/// An error of Ceph's: a positive number of the operating system's.
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

/// What a call returned: a number, or an error below zero.
pub(crate) fn check(status: impl Into<i64>) -> Result<u64> {
    let status = status.into();
    u64::try_from(status).map_err(|_| Errno(i32::try_from(-status).unwrap_or(Errno::INVAL.0)))
}

/// A text for a call.
pub(crate) fn text(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Errno::INVAL)
}

/// A text that a call left in a buffer of ours.
pub(crate) fn text_of(buffer: &[u8]) -> String {
    CStr::from_bytes_until_nul(buffer).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A connection to a cluster.
pub(crate) struct Cluster(Handle);

// SAFETY: librados locks for itself; a handle belongs to no thread.
unsafe impl Send for Cluster {}
// SAFETY: as above.
unsafe impl Sync for Cluster {}

impl Cluster {
    /// A handle for the user `client.admin` or the like, not connected yet.
    pub(crate) fn new(cluster: &str, client: &str) -> Result<Self> {
        let (cluster, client) = (text(cluster)?, text(client)?);
        let mut handle = null_mut();
        // SAFETY: the texts end in NUL and live until the call returns, which makes the handle.
        check(unsafe { rados_create2(&raw mut handle, cluster.as_ptr(), client.as_ptr(), 0) })?;
        Ok(Self(handle))
    }

    /// Reads a configuration file; none: where Ceph looks for it.
    pub(crate) fn read_conf(&self, path: Option<&str>) -> Result<()> {
        let path = path.map(text).transpose()?;
        let path = path.as_ref().map_or(null(), |path| path.as_ptr());
        // SAFETY: the handle is alive; a null path is documented, another ends in NUL.
        check(unsafe { rados_conf_read_file(self.0, path) }).map(drop)
    }

    /// Takes the options in `CEPH_ARGS`.
    pub(crate) fn read_environment(&self) -> Result<()> {
        // SAFETY: the handle is alive; null means CEPH_ARGS.
        check(unsafe { rados_conf_parse_env(self.0, null()) }).map(drop)
    }

    pub(crate) fn set(&self, option: &str, value: &str) -> Result<()> {
        let (option, value) = (text(option)?, text(value)?);
        // SAFETY: the handle is alive; the texts end in NUL.
        check(unsafe { rados_conf_set(self.0, option.as_ptr(), value.as_ptr()) }).map(drop)
    }

    pub(crate) fn connect(&self) -> Result<()> {
        // SAFETY: the handle is alive and not connected: this is called once, before all else.
        check(unsafe { rados_connect(self.0) }).map(drop)
    }

    /// The number by which the cluster knows this connection.
    pub(crate) fn instance(&self) -> u64 {
        // SAFETY: the handle is alive and connected.
        unsafe { rados_get_instance_id(self.0) }
    }

    pub(crate) fn pool_name(&self, id: i64) -> Result<String> {
        let mut name = [0u8; 1024];
        // SAFETY: the buffer is as long as is said.
        check(unsafe { rados_pool_reverse_lookup(self.0, id, name.as_mut_ptr().cast(), name.len()) })?;
        Ok(text_of(&name))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // SAFETY: pools hold the cluster, so none is left; the handle is shut down once.
        unsafe { rados_shutdown(self.0) }
    }
}

/// A pool, and a namespace in it.
pub(crate) struct Pool {
    handle: Handle,
    cluster: Arc<Cluster>,
}

// SAFETY: librados locks for itself.
unsafe impl Send for Pool {}
// SAFETY: as above; the namespace is set before the pool is shared.
unsafe impl Sync for Pool {}

impl Pool {
    pub(crate) fn open(cluster: &Arc<Cluster>, pool: &str, namespace: Option<&str>) -> Result<Self> {
        let (pool, namespace) = (text(pool)?, namespace.map(text).transpose()?);
        let mut handle = null_mut();
        // SAFETY: the cluster is connected; the text ends in NUL; the call makes the handle.
        check(unsafe { rados_ioctx_create(cluster.0, pool.as_ptr(), &raw mut handle) })?;
        if let Some(namespace) = namespace {
            // SAFETY: the handle was just made and is nobody else's yet.
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
        // SAFETY: images hold the pool, so none is left; the handle goes once, before its cluster.
        unsafe { rados_ioctx_destroy(self.handle) }
    }
}
