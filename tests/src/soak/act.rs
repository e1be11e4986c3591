//! The operations that must succeed.

use std::fs;

use super::World;
use super::model::{BLOCK, Volume};
use super::place::target;
use crate::content::noise;
use crate::run::Septet;

impl World {
    /// A command on the volume's repository.
    pub(super) fn septet(&self, volume: usize, words: &[&str]) -> Septet {
        let place = &self.places[self.volumes[volume].place];
        if self.impatient { place.impatient_septet(words) } else { place.septet(words) }
    }

    pub(super) fn write(&mut self, volume: usize) {
        self.volumes[volume].write(&mut self.rng);
    }

    pub(super) fn resize(&mut self, volume: usize) {
        self.volumes[volume].resize(&mut self.rng);
    }

    pub(super) fn back_up(&mut self, volume: usize) {
        self.backup(volume, &[]);
    }

    pub(super) fn back_up_full(&mut self, volume: usize) {
        self.backup(volume, &["--full"]);
    }

    fn backup(&mut self, volume: usize, args: &[&str]) {
        let (id, command) = self.backup_command(volume);
        command.args(args).ok();
        self.volumes[volume].backed_up(id, true);
    }

    /// A backup of the volume as it is now, and its id.
    pub(super) fn backup_command(&mut self, volume: usize) -> (String, Septet) {
        let id = self.volumes[volume].next_id();
        let Volume { name, path, .. } = &self.volumes[volume];
        let command = self.septet(volume, &["backup", "--json", "--volume", name, "--id", &id]).arg(path);
        // A chain keeps its first block size. Segments are small, so that there are several.
        let command = command.args(["--segment-size", "1MiB"]);
        let chained = !self.volumes[volume].backups().is_empty();
        (id, if chained { command } else { command.args(["--block-size", "64KiB"]) })
    }

    pub(super) fn restore(&mut self, volume: usize) {
        for (id, content) in self.volumes[volume].backups() {
            self.compare_backup(volume, &id, &content);
        }
    }

    /// Restores a part over other content. The rest of that content must not change.
    pub(super) fn restore_part(&mut self, volume: usize) {
        let Some((id, content)) = self.volumes[volume].any_backup(&mut self.rng) else { return };
        let start = self.rng.below(content.len());
        let length = 1 + self.rng.below((content.len() - start).min(5 * BLOCK));
        let mut expected = noise(self.rng.next_u64(), content.len());
        let target = target(&self.scratch);
        fs::write(&target, &expected).expect("a target");
        expected[start..start + length].copy_from_slice(&content[start..start + length]);
        let part = ["--offset", &start.to_string(), "--length", &length.to_string()];
        self.septet(volume, &["restore", "--json", "--overwrite", &id]).args(part).arg(&target).ok();
        crate::assert_bytes(&target, &expected);
        self.tally.bytes_compared += expected.len() as u64;
    }

    pub(super) fn delete(&mut self, volume: usize) {
        let Some((name, _)) = self.volumes[volume].any_backup(&mut self.rng) else { return };
        self.septet(volume, &["delete", "--json", &name]).ok();
        self.volumes[volume].deleted(id_of(&name));
    }

    pub(super) fn clean(&mut self, volume: usize) {
        if !self.volumes[volume].backups().is_empty() {
            self.septet(volume, &["clean", "--json"]).ok();
        }
    }

    pub(super) fn verify(&mut self, volume: usize) {
        if !self.volumes[volume].backups().is_empty() {
            let found = self.septet(volume, &["verify", "--json"]).ok().summary();
            assert_eq!(found["damaged"].as_array().map(Vec::len), Some(0), "{found}");
        }
    }

    /// Deletes a table and rebuilds it.
    pub(super) fn rebuild(&mut self, volume: usize) {
        let Some((name, content)) = self.volumes[volume].any_backup(&mut self.rng) else { return };
        let store = self.places[self.volumes[volume].place].store();
        let table = *self.rng.choose(&["map-0", "checksums-0"]);
        store.delete(&[format!("{name}/{table}")]).expect("deleting a table");
        self.septet(volume, &["rebuild", &name]).ok();
        self.compare_backup(volume, &name, &content);
        self.tally.faults += 1;
    }
}

/// The id in `VOLUME/ID`.
pub(super) fn id_of(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}
