//! A repository in memory, and a model of what must be in it: contents by backup.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use septet_format::{BackupId, Pending, VolumeName, keys};
use septet_ipc::{BackupJob, Begin, Compression, DeleteJob, RestoreJob, VerifyJob};
use septet_repository::{BackupReader, Repository, clean, pending};
use septet_store::{Memory, Stop, Store};
use tempfile::TempDir;

use crate::{Ring, Stopped};

const BLOCK_BYTES: u32 = 64 << 10;
/// A volume has this many blocks at most, so that all of them have room in a pool: nobody waits.
const BLOCKS_MAX: usize = 12;
const POOL_BYTES: u64 = 2 << 20;

/// One volume of one repository, and how it was filled.
pub struct World {
    store: Arc<Memory>,
    repository: Repository,
    volume: VolumeName,
    scratch: TempDir,
    rng: Rng,
    content: Vec<u8>,
    /// What was acknowledged: these must be there.
    whole: BTreeMap<BackupId, Vec<u8>>,
    /// What was under way when the store stopped: these may be there, or not.
    doubtful: BTreeMap<BackupId, Vec<u8>>,
    next: u64,
}

impl World {
    /// An empty repository; all that happens in it follows from `seed`.
    pub fn new(seed: u64) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let store = Memory::new(&format!("world-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let repository = Repository::open_or_create_store(store.clone()).expect("a new repository");
        let mut world = Self {
            store,
            repository,
            volume: "vol".parse().expect("a name"),
            scratch: tempfile::tempdir_in("/dev/shm").expect("a scratch directory"),
            rng: Rng::with_seed(seed),
            content: Vec::new(),
            whole: BTreeMap::new(),
            doubtful: BTreeMap::new(),
            next: 0,
        };
        world.change();
        world
    }

    /// How many changes the store has seen.
    pub fn changes(&self) -> u64 {
        self.store.changes()
    }

    /// Stops the store for good at a change that is still to come.
    pub fn stop_at(&self, stop: Stop) {
        self.store.set_stop(Some(stop));
    }

    /// Whether the store has stopped.
    pub fn has_stopped(&self) -> bool {
        self.store.has_stopped()
    }

    /// Does something that a user may do; nothing if the store has stopped.
    pub fn act(&mut self) {
        match self.rng.usize(..6) {
            0 | 1 => self.delete_any(),
            2 => self.clean(),
            kind => self.back_up(kind == 3),
        }
    }

    /// What `septet clean` does.
    pub fn clean(&mut self) {
        let cleaned = clean(&self.repository, &self.volume);
        assert!(self.has_stopped() || cleaned.is_ok(), "a cleaning failed, and the store works: {cleaned:?}");
    }

    /// Writes to the volume: blocks of noise, of text and of zeros, and now and then another size.
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

    /// What `septet backup` does, after the volume was written to.
    pub fn back_up(&mut self, full: bool) {
        self.change();
        self.next += 1;
        let backup: BackupId = format!("b{:03}", self.next).parse().expect("an id");
        self.doubtful.insert(backup.clone(), self.content.clone());
        if self.try_back_up(&backup, full).is_some() {
            let content = self.doubtful.remove(&backup).expect("just added");
            self.whole.insert(backup, content);
        }
        assert!(self.has_stopped() || self.doubtful.is_empty(), "a backup failed, and the store works");
    }

    fn try_back_up(&mut self, backup: &BackupId, full: bool) -> Option<()> {
        pending::sweep(&self.repository, &self.volume).ok()?;
        let listing = self.repository.backups(&self.volume).ok()?;
        let parent = listing.manifests.last().filter(|_| !full).map(|parent| parent.backup.clone());
        let source = self.scratch.path().join("volume");
        fs::write(&source, &self.content).expect("the volume");
        let job = BackupJob {
            source: source.to_str().expect("a path in UTF-8").to_owned(),
            repo: self.store.url(),
            repository: self.repository.id(),
            volume: self.volume.clone(),
            backup: backup.clone(),
            parent: parent.clone(),
            sequence: listing.next_sequence(),
            metadata: None,
            block_bytes: BLOCK_BYTES,
            compression: Compression::Lz4,
            streams: 1,
            pool_bytes: POOL_BYTES,
            // Several segments, each of several parts.
            segment_bytes: 5 * u64::from(BLOCK_BYTES),
            volume_bytes: None,
            rbd: None,
        };
        let marker = pending::marker(&self.repository, self.volume.clone(), backup.clone(), parent);
        // Whatever is left of it is then known to be of a run that has died.
        let marker = Pending { boot: "an earlier one".to_owned(), ..marker };
        pending::begin(&self.repository, &marker).ok()?;
        self.ring(Begin::Backup(job)).ok()?;
        pending::remove(&self.repository, &self.volume, backup).ok()
    }

    /// What `septet delete` does to any of the backups.
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
        let repo = self.store.url();
        let job = DeleteJob { repo, volume: self.volume.clone(), backups: vec![backup.clone()] };
        if self.ring(Begin::Delete(job)).is_ok() {
            self.doubtful.remove(backup);
        }
        assert!(self.has_stopped() || self.doubtful.is_empty(), "a deletion failed, and the store works");
    }

    fn ring(&mut self, begin: Begin) -> Result<(), Stopped> {
        let rng = Rng::with_seed(self.rng.u64(..));
        Ring::start(begin, rng)?.run()
    }

    /// The store works again, as after a restart of the machine. Then every promise must hold: what was
    /// acknowledged is there, whatever is listed comes back bit for bit, and a cleaning leaves just
    /// what the manifests name.
    pub fn recover(&mut self) {
        self.store.set_stop(None);
        self.check_backups();
        clean(&self.repository, &self.volume).expect("cleaning");
        self.check_backups();
        self.check_by_the_rings();
        self.check_objects();
        self.doubtful.clear();
    }

    fn check_backups(&mut self) {
        let listing = self.repository.backups(&self.volume).expect("a list");
        assert!(listing.damaged.is_empty(), "{:?}", listing.damaged);
        let mut listed = BTreeMap::new();
        for manifest in listing.manifests {
            let backup = manifest.backup.clone();
            let content = self.whole.get(&backup).or_else(|| self.doubtful.get(&backup));
            let content = content.unwrap_or_else(|| panic!("{backup} is listed, and was deleted or never made"));
            let reader = BackupReader::open(&self.repository, manifest).expect("its tables");
            let mut block = Vec::new();
            for (number, expected) in (0..).zip(content.chunks(BLOCK_BYTES as usize)) {
                reader.read_block(number, &mut block).unwrap_or_else(|error| panic!("{backup}: {error}"));
                assert!(block == expected, "block {number} of {backup} is another");
            }
            listed.insert(backup, content.clone());
        }
        for backup in self.whole.keys() {
            assert!(listed.contains_key(backup), "{backup} was acknowledged, and is not listed");
        }
        self.whole = listed;
    }

    /// What `septet verify` and `septet restore` do: all is found whole, and one of the backups restored.
    fn check_by_the_rings(&mut self) {
        let backups: Vec<BackupId> = self.whole.keys().cloned().collect();
        let job = VerifyJob {
            repo: self.store.url(),
            volume: self.volume.clone(),
            backups: backups.clone(),
            block_bytes: BLOCK_BYTES,
            streams: 1,
            pool_bytes: POOL_BYTES,
        };
        self.ring(Begin::Verify(job)).expect("a verification");
        if backups.is_empty() {
            return;
        }
        let backup = &backups[self.rng.usize(..backups.len())];
        let (content, target) = (self.whole[backup].clone(), self.scratch.path().join("target"));
        let job = RestoreJob {
            repo: self.store.url(),
            volume: self.volume.clone(),
            backup: backup.clone(),
            target: target.to_str().expect("a path in UTF-8").to_owned(),
            overwrite: false,
            zeroed: false,
            keep_going: false,
            offset_bytes: 0,
            length_bytes: content.len() as u64,
            volume_bytes: content.len() as u64,
            block_bytes: BLOCK_BYTES,
            streams: 1,
            pool_bytes: POOL_BYTES,
            rbd: None,
        };
        self.ring(Begin::Restore(job)).expect("a restore");
        assert!(fs::read(&target).expect("the target") == content, "{backup} was restored to something else");
        fs::remove_file(target).expect("removing the target");
    }

    /// Asserts that there is what the manifests name, and nothing else.
    fn check_objects(&self) {
        let mut named = BTreeSet::from([keys::repository()]);
        for manifest in self.repository.backups(&self.volume).expect("a list").manifests {
            let (volume, backup) = (&manifest.volume, &manifest.backup);
            named.extend([keys::manifest(volume, backup), keys::checksums(volume, backup), keys::map(volume, backup)]);
            named.extend(
                manifest
                    .segment_rows()
                    .map(|(_, source, row)| keys::segment(&source.volume, &source.backup, row.number)),
            );
        }
        let there: BTreeSet<_> = self.store.list("").expect("a list").into_iter().map(|object| object.key).collect();
        assert_eq!(there, named, "left: there; right: named by a manifest");
        assert_eq!(self.store.unfinished(), [""; 0], "uploads that nobody will finish");
    }
}
