//! Errors of a repository. Each text is one line that names the object and the cause.

use septet_format::{BackupId, FormatError, VolumeName};
use septet_store::{StoreError, StoreErrorKind};

/// Why a repository could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An object is there, but damaged, of a newer format, or another one's.
    #[error("{key:?} in {url}: {cause}")]
    Object {
        /// The repository.
        url: String,
        /// The object.
        key: String,
        /// What is wrong with it.
        cause: FormatError,
    },
    /// There is no repository at this place.
    #[error("{url} is not a Septet repository: {why}")]
    NotARepository {
        /// The place.
        url: String,
        /// What is there, or what to do.
        why: &'static str,
    },
    /// A volume name, a backup id, or what should name a backup, is not one.
    #[error("{0}")]
    InvalidName(String),
    /// No backup answers to this name.
    #[error("there is no backup {name} in {url}: `septet list` shows those that there are")]
    UnknownBackup {
        /// As it was asked for.
        name: String,
        /// The repository.
        url: String,
    },
    /// Several volumes have a backup of this id.
    #[error("several volumes have a backup {backup}: say which one by VOLUME/ID ({})", join(.volumes, backup))]
    Ambiguous {
        /// The id.
        backup: BackupId,
        /// The volumes.
        volumes: Vec<VolumeName>,
    },
    /// The id is taken, be it that other backups still need what a deleted one has left.
    #[error("backup {volume}/{backup} {why}: choose another id")]
    BackupExists {
        /// The volume.
        volume: VolumeName,
        /// The backup.
        backup: BackupId,
        /// How the id is taken.
        why: &'static str,
    },
    /// Another run is making a backup of this id, or has died over it.
    #[error(
        "backup {backup} is being made by process {pid} on {host} since {created}: wait for it, or choose another id"
    )]
    Pending {
        /// The backup.
        backup: BackupId,
        /// Where the other run is.
        host: String,
        /// Its supervisor.
        pid: u32,
        /// When it began.
        created: jiff::Timestamp,
    },
    /// The backup to build upon was deleted in the meantime.
    #[error("the parent backup {volume}/{parent} has just been deleted: start again")]
    ParentGone {
        /// The volume.
        volume: VolumeName,
        /// The parent.
        parent: BackupId,
    },
    /// What an interrupted run had left, and was to be resumed, is gone.
    #[error("what was left of backup {volume}/{backup} has just been cleared away, or finished: start again")]
    Withdrawn {
        /// The volume.
        volume: VolumeName,
        /// The backup.
        backup: BackupId,
    },
    /// Somebody deleted the backup by force before its run had ended.
    #[error("backup {volume}/{backup} was deleted while it was being made")]
    Deleted {
        /// The volume.
        volume: VolumeName,
        /// The backup.
        backup: BackupId,
    },
    /// Another run has taken this one for dead, and goes on with its work.
    #[error("process {pid} on {host} took this run for dead, and goes on with backup {volume}/{backup}")]
    TakenOver {
        /// The volume.
        volume: VolumeName,
        /// The backup.
        backup: BackupId,
        /// Where the other run is.
        host: String,
        /// Its supervisor.
        pid: u32,
    },
    /// There are as many attempts or generations as there can be.
    #[error("backup {volume}/{backup} has no room for another attempt: make a new one")]
    TooManyAttempts {
        /// The volume.
        volume: VolumeName,
        /// The backup.
        backup: BackupId,
    },
    /// What lies under the backup's id was never the same twice.
    #[error("others keep changing backup {volume}/{backup}: try again later")]
    Busy {
        /// The volume.
        volume: VolumeName,
        /// The backup.
        backup: BackupId,
    },
    /// What is left of a backup is not enough to make a lost table of it anew.
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

/// A result whose error is a [`RepositoryError`].
pub type Result<T, E = RepositoryError> = std::result::Result<T, E>;

impl RepositoryError {
    /// Whether the store has no more room.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Store(error) if error.kind() == StoreErrorKind::NoSpace)
    }

    /// Whether an object that should be there and whole isn't.
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
