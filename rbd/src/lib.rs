//! RBD images as volumes: a reader and a volumewriter that connect to Ceph.
//!
//! [`Images`] opens an image for both agents. `attend` identifies a snapshot, and removes the snapshots of earlier
//! backups. No other part of Septet is linked with librbd and librados.

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

/// The configuration contains the path of the keyring, and both may be anywhere. So all files can be read. Only Ceph's
/// own logs can be written, and no program can be started.
fn of_ceph() -> Needs {
    Needs::nothing().library().read("/").write("/var/log/ceph").write("/run/ceph")
}
