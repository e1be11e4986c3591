//! What must be: the volumes, and what each of their backups holds.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::Scratch;
use crate::content::{Rng, mixed, noise, text, write_sparse};

/// A block of these backups, bytes.
pub(super) const BLOCK: usize = 64 << 10;
const VOLUME_BYTES_MAX: usize = 40 * BLOCK;

/// A volume, and its backups in one repository.
pub(super) struct Volume {
    /// `VOLUME`, as the repository calls it.
    pub(super) name: String,
    /// The file.
    pub(super) path: PathBuf,
    /// Which repository it is backed up to.
    pub(super) place: usize,
    content: Vec<u8>,
    backups: BTreeMap<String, Backup>,
    made: u32,
}

/// What a backup holds, and whether it is known to be there.
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

    /// Changes some ranges.
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

    /// Cuts or grows it.
    pub(super) fn resize(&mut self, rng: &mut Rng) {
        self.content.resize(1 + rng.below(VOLUME_BYTES_MAX), 0);
        write_sparse(&self.path, &self.content);
    }

    /// An id that no backup has had.
    pub(super) fn next_id(&mut self) -> String {
        self.made += 1;
        format!("b{}", self.made)
    }

    /// From now on there is, or may be, a backup of what the volume holds now.
    pub(super) fn backed_up(&mut self, id: String, certain: bool) {
        self.backups.insert(id, Backup { content: Arc::new(self.content.clone()), certain });
    }

    /// From now on there is no such backup.
    pub(super) fn deleted(&mut self, id: &str) {
        self.backups.remove(id);
    }

    /// A deletion was begun: whether the backup is there is not known.
    pub(super) fn doubt(&mut self, id: &str) {
        if let Some(backup) = self.backups.get_mut(id) {
            backup.certain = false;
        }
    }

    /// Holds the model against what the repository lists. What was in doubt and is not there may still come: a
    /// request that was on its way when its sender was killed.
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
            // A deletion of it that was interrupted has not begun: nobody will take it away any more.
            if let Some(backup) = self.backups.get_mut(*id) {
                backup.certain = true;
            }
        }
    }

    /// The backups that are there, by their full names, and what they hold.
    pub(super) fn backups(&self) -> Vec<(String, Arc<Vec<u8>>)> {
        let certain = self.backups.iter().filter(|(_, backup)| backup.certain);
        certain.map(|(id, backup)| (format!("{}/{id}", self.name), Arc::clone(&backup.content))).collect()
    }

    /// One of them.
    pub(super) fn any_backup(&self, rng: &mut Rng) -> Option<(String, Arc<Vec<u8>>)> {
        let backups = self.backups();
        if backups.is_empty() { None } else { Some(backups[rng.below(backups.len())].clone()) }
    }
}
