//! RBD images as volumes: the reader and the volumewriter that speak to Ceph.
//!
//! [`Images`] opens an image for the one and for the other; [`attend`] tells what a snapshot is, and removes those that
//! earlier backups have left. Nothing else of Septet is linked with librbd and librados.

mod attend;
mod changes;
mod connect;
mod error;
mod ffi;
mod layout;
mod rados;
mod snapshots;
mod source;
mod target;

use septet_agent_reader::OpenSource;
use septet_agent_volumewriter::OpenTarget;
use septet_ipc::{BackupJob, Failure, Needs, RestoreJob};
use septet_volume::{Source, Target};

use crate::source::RbdSource;
use crate::target::RbdTarget;
pub use attend::attend;

/// RBD images, by name: `rbd:POOL/IMAGE`.
pub struct Images;

impl OpenSource for Images {
    fn open(job: &mut BackupJob) -> Result<Box<dyn Source>, Failure> {
        Ok(Box::new(RbdSource::open(job)?))
    }

    fn needs(_: &BackupJob) -> Needs {
        of_ceph()
    }
}

impl OpenTarget for Images {
    fn open(job: &RestoreJob) -> Result<Box<dyn Target>, Failure> {
        Ok(Box::new(RbdTarget::open(job)?))
    }

    fn needs(_: &RestoreJob) -> Needs {
        of_ceph()
    }
}

/// Where the keyring lies is written in the configuration, and that may be anywhere: all can be read, but only
/// Ceph's own logs be written, and no program started.
fn of_ceph() -> Needs {
    Needs::nothing().library().read("/").write("/var/log/ceph").write("/run/ceph")
}
