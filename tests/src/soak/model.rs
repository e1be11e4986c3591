//! The expected state: the volumes, and the content of each of their backups.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::Scratch;
use crate::content::{Rng, mixed, noise, text, write_sparse};

/// The block size of these backups in bytes.
pub(super) const BLOCK: usize = 64 << 10;
const VOLUME_BYTES_MAX: usize = 40 * BLOCK;

/// A volume, and its backups in one repository.
pub(super) struct Volume {
    /// The volume's name in the repository.
    pub(super) name: String,
    /// The file.
    pub(super) path: PathBuf,
    /// The index of the repository that it is backed up to.
    pub(super) place: usize,
    content: Vec<u8>,
    backups: BTreeMap<String, Backup>,
    made: u32,
}

/// The content of a backup, and whether the backup certainly exists.
struct Backup {
    content: Arc<Vec<u8>>,
    certain: bool,
}

impl Volume {
    pub(super) fn new(scratch: &Scratch, number: usize, place: usize, rng: &mut Rng) -> Self {
        let name = format!("volume{number}");
        let content = mixed(rng.next_u64(), BLOCK * (4 + rng.below(20)) + rng.below(BLOCK), BLOCK / 2);
        let path = scratch.path(&name);
        write_sparse(&path, &content);
        Self { name, path, place, content, backups: BTreeMap::new(), made: 0 }
    }

    /// Changes some ranges of the volume.
    pub(super) fn write(&mut self, rng: &mut Rng) {
        for _ in 0..=rng.below(4) {
            let start = rng.below(self.content.len());
            let bytes = (1 + rng.below(3 * BLOCK)).min(self.content.len() - start);
            let new = match rng.below(4) {
                0 => vec![0; bytes],
                1 => text(rng.next_u64(), bytes),
                _ => noise(rng.next_u64(), bytes),
            };
            self.content[start..start + bytes].copy_from_slice(&new);
        }
        write_sparse(&self.path, &self.content);
    }

    /// Shrinks or enlarges the volume.
    pub(super) fn resize(&mut self, rng: &mut Rng) {
        self.content.resize(1 + rng.below(VOLUME_BYTES_MAX), 0);
        write_sparse(&self.path, &self.content);
    }

    /// An id that no backup has had.
    pub(super) fn next_id(&mut self) -> String {
        self.made += 1;
        format!("b{}", self.made)
    }

    /// Records a backup of the current content. If it is not `certain`, the backup may exist or not.
    pub(super) fn backed_up(&mut self, id: String, certain: bool) {
        self.backups.insert(id, Backup { content: Arc::new(self.content.clone()), certain });
    }

    /// Records that the backup was deleted.
    pub(super) fn deleted(&mut self, id: &str) {
        self.backups.remove(id);
    }

    /// Records that a deletion was begun, so that the backup may exist or not.
    pub(super) fn doubt(&mut self, id: &str) {
        if let Some(backup) = self.backups.get_mut(id) {
            backup.certain = false;
        }
    }

    /// Compares the model with the repository's list. An uncertain backup that is not listed may still appear later:
    /// its request may have been in flight when the sender was killed.
    pub(super) fn settle(&mut self, listed: &[(String, String)]) {
        let listed: Vec<&str> =
            listed.iter().filter(|(volume, _)| *volume == self.name).map(|(_, id)| id.as_str()).collect();
        for id in &listed {
            assert!(self.backups.contains_key(*id), "{}/{id} is listed, but was deleted, or never made", self.name);
        }
        for (id, backup) in &self.backups {
            let there = listed.contains(&id.as_str());
            assert!(there || !backup.certain, "{}/{id} is lost: it is not listed", self.name);
        }
        self.listed_now(&listed);
    }

    fn listed_now(&mut self, listed: &[&str]) {
        for id in listed {
            // If its deletion was interrupted, that had not really begun. No other command deletes it later.
            if let Some(backup) = self.backups.get_mut(*id) {
                backup.certain = true;
            }
        }
    }

    /// The full names and the content of the backups that certainly exist.
    pub(super) fn backups(&self) -> Vec<(String, Arc<Vec<u8>>)> {
        let certain = self.backups.iter().filter(|(_, backup)| backup.certain);
        certain.map(|(id, backup)| (format!("{}/{id}", self.name), Arc::clone(&backup.content))).collect()
    }

    /// A random one of them.
    pub(super) fn any_backup(&self, rng: &mut Rng) -> Option<(String, Arc<Vec<u8>>)> {
        let backups = self.backups();
        if backups.is_empty() { None } else { Some(backups[rng.below(backups.len())].clone()) }
    }
}
