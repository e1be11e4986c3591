//! A repository in memory, and a model of its expected state: the content of each backup.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use septet_format::{BackupId, Manifest, keys};
use septet_store::{Memory, Stop, Store};

use crate::{BLOCK_BYTES, Host, Wish};

/// The maximum number of blocks of a volume. A pool has room for all of them, so no agent waits for a slot.
const BLOCKS_MAX: usize = 12;

/// One volume of one repository, and the backups that are expected in it.
pub struct World {
    host: Host,
    rng: Rng,
    content: Vec<u8>,
    /// The acknowledged backups, which must exist.
    whole: BTreeMap<BackupId, Vec<u8>>,
    /// The backups whose creation or deletion was under way when the store stopped. They may or may not exist.
    doubtful: BTreeMap<BackupId, Vec<u8>>,
}

impl World {
    /// An empty repository. `seed` determines everything that happens in it.
    pub fn new(seed: u64) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let store = Memory::new(&format!("world-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let mut world = Self {
            // Everything that a run left is known to be of a dead run.
            host: Host::new(store).mortal(),
            rng: Rng::with_seed(seed),
            content: Vec::new(),
            whole: BTreeMap::new(),
            doubtful: BTreeMap::new(),
        };
        world.change();
        world
    }

    /// The number of changes of the store so far.
    pub fn changes(&self) -> u64 {
        self.host.store.changes()
    }

    /// Stops the store for good at a future change.
    pub fn stop_at(&self, stop: Stop) {
        self.host.store.set_stop(Some(stop));
    }

    /// Whether the store has stopped.
    pub fn has_stopped(&self) -> bool {
        self.host.store.has_stopped()
    }

    /// Makes a random request of a user. Has no effect if the store has stopped.
    pub fn act(&mut self) {
        match self.rng.usize(..6) {
            0 | 1 => self.delete_any(),
            2 => self.clean(),
            kind => self.back_up(kind == 3),
        }
    }

    /// Does what `septet clean` does.
    pub fn clean(&mut self) {
        let cleaned = self.host.clean();
        assert!(self.has_stopped() || cleaned.is_ok(), "a cleaning failed, and the store works: {cleaned:?}");
    }

    /// Writes to the volume, so that the next backup has changes to store.
    pub fn write(&mut self) {
        self.change();
    }

    /// Writes blocks of noise, of text and of zeros to the volume, and sometimes changes its size.
    fn change(&mut self) {
        let block = BLOCK_BYTES as usize;
        if self.content.is_empty() || self.rng.usize(..4) == 0 {
            let bytes = self.rng.usize(..BLOCKS_MAX * block) + 1;
            self.content.resize(bytes, 0);
        }
        for _ in 0..=self.rng.usize(..4) {
            let start = self.rng.usize(..self.content.len().div_ceil(block)) * block;
            let end = (start + block).min(self.content.len());
            let block = &mut self.content[start..end];
            match self.rng.usize(..3) {
                0 => self.rng.fill(block),
                1 => block.fill(b't'),
                _ => block.fill(0),
            }
        }
    }

    /// Writes to the volume and does what `septet backup` does.
    pub fn back_up(&mut self, full: bool) {
        self.change();
        self.back_up_again(full, false);
    }

    /// Makes a backup without writing to the volume first. With `snapshot`, the volume is known not to change.
    pub fn back_up_again(&mut self, full: bool, snapshot: bool) -> Option<BackupId> {
        let wish = Wish { backup: None, full, content: &self.content, snapshot };
        let doubtful = &mut self.doubtful;
        let done = self.host.back_up(&wish, &mut self.rng, |backup| {
            doubtful.insert(backup.clone(), wish.content.to_vec());
        });
        match &done {
            Ok(backup) => {
                let content = self.doubtful.remove(backup).expect("it was chosen");
                self.whole.insert(backup.clone(), content);
            }
            Err(why) => assert!(self.has_stopped(), "a backup failed, and the store works: {why}"),
        }
        done.ok()
    }

    /// Does what `septet delete` does, to a random backup.
    pub fn delete_any(&mut self) {
        let backups: Vec<BackupId> = self.whole.keys().cloned().collect();
        if !backups.is_empty() {
            let any = self.rng.usize(..backups.len());
            self.delete(&backups[any]);
        }
    }

    fn delete(&mut self, backup: &BackupId) {
        let content = self.whole.remove(backup).expect("it is there");
        self.doubtful.insert(backup.clone(), content);
        match self.host.delete(backup, &mut self.rng) {
            Ok(()) => drop(self.doubtful.remove(backup)),
            Err(why) => assert!(self.has_stopped(), "a deletion failed, and the store works: {why}"),
        }
    }

    /// Restarts the store, as after a restart of the machine. Then every promise must hold: acknowledged backups exist,
    /// every listed backup reads back bit for bit, and after a cleaning only the objects that manifests name are left.
    pub fn recover(&mut self) {
        self.restart();
        self.host.clean().expect("cleaning");
        self.check_backups();
        self.check_by_the_rings();
        self.host.check_objects();
    }

    /// Restarts the store without cleaning: what dead runs left is still there.
    pub fn restart(&mut self) {
        self.host.store.set_stop(None);
        self.check_backups();
        self.doubtful.clear();
    }

    /// The manifest of a backup.
    ///
    /// # Panics
    /// If it can't be read.
    pub fn manifest(&self, backup: &BackupId) -> Manifest {
        self.host.repository.manifest(&self.host.volume, backup).expect("a manifest")
    }

    /// The backups that are known to exist.
    pub fn listed(&self) -> Vec<&BackupId> {
        self.whole.keys().collect()
    }

    /// The number of blocks in the backup's own segments.
    pub fn stored_blocks(&self, backup: &BackupId) -> u64 {
        self.blocks_in(&self.segments(), backup)
    }

    /// The number of blocks in those of `segments` that are the backup's own.
    ///
    /// # Panics
    /// If a segment can't be read.
    pub fn blocks_in(&self, segments: &BTreeMap<String, u64>, backup: &BackupId) -> u64 {
        let entries = segments.keys().filter_map(|key| match keys::parse(key) {
            Some(keys::Key::Segment { backup: of, number, .. }) if of == *backup => {
                let index = self.host.repository.unknown_segment_index(&self.host.volume, backup, number);
                Some(index.expect("an index").0.entries.len() as u64)
            }
            _ => None,
        });
        entries.sum()
    }

    /// The existing segments with their lengths.
    ///
    /// # Panics
    /// If the store has stopped.
    pub fn segments(&self) -> BTreeMap<String, u64> {
        let all = self.host.store.list("").expect("a list").into_iter();
        all.filter(|object| object.key.contains("/segments/")).map(|object| (object.key, object.bytes)).collect()
    }

    fn check_backups(&mut self) {
        let listed = self.host.contents();
        for (backup, content) in &listed {
            let expected = self.whole.get(backup).or_else(|| self.doubtful.get(backup));
            let expected = expected.unwrap_or_else(|| panic!("{backup} is listed, and was deleted or never made"));
            assert!(content == expected, "{backup} holds something else");
        }
        for backup in self.whole.keys() {
            assert!(listed.contains_key(backup), "{backup} was acknowledged, and is not listed");
        }
        self.whole = listed;
    }

    /// Does what `septet verify` and `septet restore` do: all backups must be whole, and one of them is restored.
    fn check_by_the_rings(&mut self) {
        let backups: Vec<BackupId> = self.whole.keys().cloned().collect();
        let damage = self.host.verify(&mut self.rng).expect("a verification");
        assert!(damage.is_empty(), "{damage:?}");
        if backups.is_empty() {
            return;
        }
        let backup = &backups[self.rng.usize(..backups.len())];
        let restored = self.host.restore(backup, &mut self.rng).expect("a restore");
        assert!(restored == self.whole[backup], "{backup} was restored to something else");
    }
}
