//! A tombstone. It occupies the key of a manifest that must not be written, or ends a backup.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::check::check_generation;
use crate::error::{Result, check_version};
use crate::{BackupId, FORMAT_VERSION, Features, Process, VolumeName, keys};

pub(super) const WHAT: &str = "tombstone";

/// Why a manifest's key is occupied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The format in which it was written.
    pub format: u32,
    /// The features that a program must know to read the tombstone.
    pub needs_to_read: Features,
    /// The features that a program must know to delete from the volume.
    pub needs_to_write: Features,
    /// The repository that contains it.
    pub repository: Uuid,
    /// The volume.
    pub volume: VolumeName,
    /// The backup that was taken over, abandoned or deleted.
    pub backup: BackupId,
    /// The generation that it occupies, the same as in its key.
    pub generation: u32,
    /// What happened to the backup.
    pub reason: TombstoneReason,
    /// The process that wrote it.
    pub by: Process,
    /// When it was written, by the writer's clock. Only for display.
    pub created: Timestamp,
    /// The program that wrote it, like `septet 0.1.0`.
    pub tool: String,
    /// Fields of later versions that older ones may ignore.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, serde_json::Value>,
}

/// What happened to a backup, or to an attempt at one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TombstoneReason {
    /// The attempt of this generation was considered dead. The next attempt resumes its work.
    TakenOver,
    /// The backup was never finished. Its own run gave up, or another run cleaned up its leftovers.
    Abandoned,
    /// The backup existed and was deleted.
    Deleted,
}

impl Tombstone {
    /// A tombstone in the current format.
    pub fn new(
        repository: Uuid,
        (volume, backup, generation): (VolumeName, BackupId, u32),
        reason: TombstoneReason,
        by: Process,
        created: Timestamp,
        tool: impl Into<String>,
    ) -> Self {
        Self {
            format: FORMAT_VERSION,
            needs_to_read: Features::of_this_version(),
            needs_to_write: Features::of_this_version(),
            repository,
            volume,
            backup,
            generation,
            reason,
            by,
            created,
            tool: tool.into(),
            extensions: BTreeMap::new(),
        }
    }

    /// The tombstone's key.
    pub fn key(&self) -> String {
        keys::manifest(&self.volume, &self.backup, self.generation)
    }

    pub(super) fn check(&self) -> Result<()> {
        check_version(WHAT, self.format)?;
        check_generation(WHAT, "its", self.generation)
    }
}
