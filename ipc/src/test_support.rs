//! Helpers for the tests of agents: complete minimal jobs, and the results of a handler.
//!
//! The jobs are as small as possible. A test changes the fields that it is about: `BackupJob { streams: 2,
//! ..backup_job() }`.

use std::sync::{Mutex, PoisonError};

use septet_format::{BackupId, BackupRef, BlockHash, Machine, TableRef, VolumeName};
use uuid::Uuid;

use crate::agent::{Item, Worker};
use crate::message::{BackupJob, Compression, DeleteJob, Failure, RestoreJob, VerifyJob};

const BLOCK_BYTES: u32 = 65536;

/// A full backup `b` of the volume `v`, which is not open yet.
pub fn backup_job() -> BackupJob {
    BackupJob {
        source: String::new(),
        source_kind: "file".to_owned(),
        source_identity: String::new(),
        machine: Machine::default(),
        repo: String::new(),
        repository: Uuid::nil(),
        volume: volume(),
        backup: backup(),
        attempt: 0,
        parent: None,
        sequence: 1,
        metadata: None,
        block_bytes: BLOCK_BYTES,
        compression: Compression::Lz4,
        streams: 1,
        pool_bytes: 0,
        segment_bytes: 0,
        volume_bytes: None,
        resume: None,
        tracking: None,
        base: None,
        audit_ppm: 0,
        spool: None,
    }
}

/// A restore of zero bytes of the backup `b` of the volume `v`.
pub fn restore_job() -> RestoreJob {
    let table = TableRef { generation: 0, bytes: 0, root: BlockHash::ZERO };
    RestoreJob {
        repo: String::new(),
        repository: Uuid::nil(),
        volume: volume(),
        backup: BackupRef { backup: backup(), generation: 0, checksums: table, map: table },
        target: String::new(),
        overwrite: false,
        zeroed: false,
        keep_going: false,
        offset_bytes: 0,
        length_bytes: 0,
        volume_bytes: 0,
        block_bytes: BLOCK_BYTES,
        streams: 1,
        pool_bytes: 0,
        create: false,
        tracking: None,
    }
}

/// A verification of the backup `b` of the volume `v`.
pub fn verify_job() -> VerifyJob {
    VerifyJob {
        repo: String::new(),
        repository: Uuid::nil(),
        volume: volume(),
        backups: vec![backup()],
        block_bytes: BLOCK_BYTES,
        streams: 1,
        pool_bytes: 0,
        sample: None,
    }
}

/// A deletion of the backup `b` of the volume `v`.
pub fn delete_job() -> DeleteJob {
    DeleteJob { repo: String::new(), repository: Uuid::nil(), volume: volume(), backups: vec![backup()] }
}

/// What a handler passes on while it runs.
///
/// # Errors
/// Any error of the handler.
pub fn results(handler: impl FnOnce(&Worker<'_>) -> Result<(), Failure>) -> Result<Vec<Item>, Failure> {
    let output = Mutex::new(Vec::new());
    handler(&Worker::unmeasured(&output))?;
    Ok(output.into_inner().unwrap_or_else(PoisonError::into_inner))
}

#[allow(clippy::expect_used, reason = "a name that is spelled out, and for tests alone")]
fn volume() -> VolumeName {
    "v".parse().expect("a volume's name")
}

#[allow(clippy::expect_used, reason = "an id that is spelled out, and for tests alone")]
fn backup() -> BackupId {
    "b".parse().expect("a backup's id")
}
