//! The result of one listing: the objects of a volume, grouped by the backup to which they belong.

use crate::{Repository, Result};
use septet_format::keys::{self, Key};
use septet_format::{BackupId, VolumeName};
use septet_store::ObjectInfo;
use std::collections::{BTreeMap, BTreeSet};

/// The objects of a volume, as one listing contains them.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// All objects, including foreign ones.
    pub(crate) objects: Vec<ObjectInfo>,
    /// The objects under each id.
    pub(crate) backups: BTreeMap<BackupId, Under>,
}

/// The objects under one id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Under {
    /// The generations that have a manifest or a tombstone.
    pub(crate) generations: BTreeSet<u32>,
    /// The attempts that have a marker.
    pub(crate) attempts: BTreeSet<u32>,
    /// The numbers of its segments.
    pub(crate) segments: BTreeSet<u32>,
    /// The keys of its tables.
    pub(crate) tables: Vec<String>,
}

impl Contents {
    /// Lists a volume: one request per thousand objects.
    pub(crate) fn of_volume(repository: &Repository, volume: &VolumeName) -> Result<Self> {
        Ok(Self::new(repository.store().list(&keys::volume_prefix(volume))?))
    }

    /// Groups the objects of a listing.
    pub(crate) fn new(objects: Vec<ObjectInfo>) -> Self {
        let mut backups: BTreeMap<BackupId, Under> = BTreeMap::new();
        for object in &objects {
            match keys::parse(&object.key) {
                None | Some(Key::Repository) => {}
                Some(Key::Manifest { backup, generation, .. }) => {
                    backups.entry(backup).or_default().generations.insert(generation);
                }
                Some(Key::Pending { backup, attempt, .. }) => {
                    backups.entry(backup).or_default().attempts.insert(attempt);
                }
                Some(Key::Segment { backup, number, .. }) => {
                    backups.entry(backup).or_default().segments.insert(number);
                }
                Some(Key::Checksums { backup, .. } | Key::Map { backup, .. }) => {
                    backups.entry(backup).or_default().tables.push(object.key.clone());
                }
            }
        }
        Self { objects, backups }
    }
}

impl Under {
    /// Lists the objects under one id.
    pub(crate) fn list(repository: &Repository, volume: &VolumeName, backup: &BackupId) -> Result<Self> {
        let objects = repository.store().list(&keys::backup_prefix(volume, backup))?;
        Ok(Contents::new(objects).backups.remove(backup).unwrap_or_default())
    }

    /// The keys of its segments and tables.
    pub(crate) fn stored(&self, volume: &VolumeName, backup: &BackupId) -> Vec<String> {
        let segments = self.segments.iter().map(|number| keys::segment(volume, backup, *number));
        segments.chain(self.tables.iter().cloned()).collect()
    }

    /// Whether the key of this generation or of a higher one is occupied. Then the attempt with that number can't
    /// continue: it has committed, was taken over, or was given up.
    pub(crate) fn is_closed(&self, attempt: u32) -> bool {
        self.generations.last().is_some_and(|generation| *generation >= attempt)
    }
}
