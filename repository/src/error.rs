//! Errors of a repository. Each text is one line that names the object and the cause.

use septet_format::{BackupId, FormatError, VolumeName};
use septet_store::{StoreError, StoreErrorKind};

/// Why an operation on a repository failed.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The store returned an error.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An object exists, but is damaged, has a newer format, or belongs to something else.
    #[error("{key:?} in {url}: {cause}")]
    Object {
        /// The repository.
        url: String,
        /// The object.
        key: String,
        /// The cause.
        cause: FormatError,
    },
    /// There is no repository at this place.
    #[error("{url} is not a Septet repository: {why}")]
    NotARepository {
        /// The place.
        url: String,
        /// What is there instead, or what to do.
        why: &'static str,
    },
    /// The text is not a valid volume name, backup id or name of a backup.
    #[error("{0}")]
    InvalidName(String),
    /// No backup has this name.
    #[error("there is no backup {name} in {url}: `septet list` shows the existing ones")]
    UnknownBackup {
        /// The name as it was requested.
        name: String,
        /// The repository.
        url: String,
    },
    /// Several volumes have a backup of this id.
    #[error("several volumes have a backup {backup}: choose one by VOLUME/ID ({})", join(.volumes, backup))]
    Ambiguous {
        /// The id.
        backup: BackupId,
        /// The volumes.
        volumes: Vec<VolumeName>,
    },
    /// The id is in use, possibly because other backups still need objects of a deleted backup with this id.
    #[error("backup {volume}/{backup} {why}: choose another --id")]
    BackupExists {
        /// The volume.
        volume: VolumeName,
        /// The backup.
        backup: BackupId,
        /// How the id is used.
        why: &'static str,
    },
    /// Another run is making a backup of this id, or died while it made one.
    #[error(
        "backup {backup} is being made by process {pid} on {host} since {created}: wait for it, or choose another id"
    )]
    Pending {
        /// The backup.
        backup: BackupId,
        /// The host of the other run.
        host: String,
        /// The process id of its supervisor.
        pid: u32,
        /// When the other run began.
        created: jiff::Timestamp,
    },
    /// The parent backup was deleted in the meantime.
    #[error("the parent backup {volume}/{parent} has just been deleted: start again")]
    ParentGone {
        /// The volume.
        volume: VolumeName,
        /// The parent.
        parent: BackupId,
    },
    /// The interrupted backup that was to be resumed no longer exists as such.
    #[error("the interrupted backup {volume}/{backup} has just been removed or completed: start again")]
    Withdrawn {
        /// The volume.
        volume: VolumeName,
        /// The backup.
        backup: BackupId,
    },
    /// The backup was deleted by force before its run had ended.
    #[error("backup {volume}/{backup} was deleted while it was being made")]
    Deleted {
        /// The volume.
        volume: VolumeName,
        /// The backup.
        backup: BackupId,
    },
    /// Another run considered this one dead and took its backup over.
    #[error("process {pid} on {host} considered this run dead and resumes backup {volume}/{backup}")]
    TakenOver {
        /// The volume.
        volume: VolumeName,
        /// The backup.
        backup: BackupId,
        /// The host of the other run.
        host: String,
        /// The process id of its supervisor.
        pid: u32,
    },
    /// The backup has reached the maximum number of attempts or generations.
    #[error("backup {volume}/{backup} has reached the maximum number of attempts: make a new backup")]
    TooManyAttempts {
        /// The volume.
        volume: VolumeName,
        /// The backup.
        backup: BackupId,
    },
    /// The objects under the backup's id changed between all looks at them.
    #[error("other runs keep changing backup {volume}/{backup}: try again later")]
    Busy {
        /// The volume.
        volume: VolumeName,
        /// The backup.
        backup: BackupId,
    },
    /// The remaining data of a backup is not enough to rebuild a lost table.
    #[error("cannot rebuild the {what} of {volume}/{backup}: {why}; nothing was written")]
    NotRebuilt {
        /// Which of its tables.
        what: &'static str,
        /// The volume.
        volume: VolumeName,
        /// The backup.
        backup: BackupId,
        /// What could not be found, and what else is damaged.
        why: String,
    },
}

/// A result with a [`RepositoryError`].
pub type Result<T, E = RepositoryError> = std::result::Result<T, E>;

impl RepositoryError {
    /// Whether the store is full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Store(error) if error.kind() == StoreErrorKind::NoSpace)
    }

    /// Whether an object that should exist is missing or damaged.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Object { cause, .. } => cause.is_damage(),
            Self::Store(error) => matches!(error.kind(), StoreErrorKind::Damaged | StoreErrorKind::NotFound),
            _ => false,
        }
    }
}

fn join(volumes: &[VolumeName], backup: &BackupId) -> String {
    let names: Vec<String> = volumes.iter().map(|volume| format!("{volume}/{backup}")).collect();
    names.join(", ")
}
