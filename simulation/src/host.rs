//! A simulated host: it carries out the engine's own requests on a store in memory, with simulated agents.
//!
//! Several hosts may share a store. One host may act while another is paused at an operation.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use septet_engine::{
    BackupRequest, CleanRequest, Compare, DeleteRequest, Doing, Engine, Observer, RestoreRequest, TIMEOUT_DEFAULT,
    VerifyRequest,
};
use septet_format::{BackupId, Manifest, Record, VolumeName, keys};
use septet_ipc::message::{Damage, Progress};
use septet_repository::{BackupReader, Repository, pending};
use septet_store::{Memory, Store};
use tempfile::TempDir;

use crate::BLOCK_BYTES;
use crate::runner::Simulated;

/// A host.
#[derive(Clone)]
pub struct Host {
    pub(crate) store: Arc<Memory>,
    pub(crate) repository: Repository,
    pub(crate) volume: VolumeName,
    scratch: Arc<TempDir>,
    /// How much it has done: each thing takes a second.
    acts: Arc<AtomicU64>,
    /// Whether whoever looks at a marker of this host takes its run for dead: it is when the store stops.
    mortal: bool,
    /// How many hours its clock is wrong by.
    hours_wrong: i64,
}

/// A backup that is to be made.
#[derive(Clone)]
pub struct Wish<'a> {
    /// The id that it must have; none: that of an interrupted one to go on with, or a new one.
    pub backup: Option<BackupId>,
    /// Whether it is compared with nothing.
    pub full: bool,
    /// What the volume holds.
    pub content: &'a [u8],
    /// Whether the volume is known not to change.
    pub snapshot: bool,
}

/// What something that a host did came to; text says why not.
pub type Done<T> = Result<T, String>;

fn text(error: anyhow::Error) -> String {
    format!("{error:#}")
}

/// Hears which backup is made.
struct Listener<F>(F);

impl<F: FnMut(&BackupId)> Observer for Listener<F> {
    fn begins(&mut self, doing: &Doing) {
        if let Doing::BackUp { backup, .. } = doing {
            (self.0)(backup);
        }
    }

    fn progress(&mut self, _: &Progress) {}
    fn note(&mut self, _: &str) {}
    fn damage(&mut self, _: &Damage) {}
    fn passed(&mut self, _: &str, _: &str) {}
}

impl Host {
    /// A host with a right clock.
    ///
    /// # Panics
    /// If the store holds no repository and none can be made, or there is no `/dev/shm`.
    pub fn new(store: Arc<Memory>) -> Self {
        Self {
            repository: Repository::open_or_create_store(store.clone()).expect("a repository"),
            store,
            volume: "vol".parse().expect("a name"),
            scratch: Arc::new(tempfile::tempdir_in("/dev/shm").expect("a scratch directory")),
            acts: Arc::default(),
            mortal: false,
            hours_wrong: 0,
        }
    }

    /// The same, whose runs are taken for dead by whoever looks: it is when the store stops.
    pub fn mortal(self) -> Self {
        Self { mortal: true, ..self }
    }

    /// The same with a clock that is wrong.
    pub fn with_clock_wrong_by(self, hours_wrong: i64) -> Self {
        Self { hours_wrong, ..self }
    }

    /// What runs the agents of the next thing that this host does.
    fn runner(&self, rng: &mut Rng) -> Simulated {
        let mut process = septet_repository::current_process();
        if self.mortal {
            "an earlier one".clone_into(&mut process.boot);
        }
        Simulated::new(rng, process, self.acts.fetch_add(1, Ordering::Relaxed), self.hours_wrong)
    }

    fn engine<'a>(&self, runner: &'a Simulated) -> Engine<'a> {
        Engine::of(self.repository.clone(), &self.store.url(), runner, TIMEOUT_DEFAULT)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Has the volume hold this; a volume that does already stays the same file, as a snapshot would.
    fn fill_volume(&self, content: &[u8]) -> PathBuf {
        let volume = self.file("volume");
        if fs::read(&volume).ok().as_deref() != Some(content) {
            fs::write(&volume, content).expect("the volume");
        }
        volume
    }

    /// What `septet backup` does. `chosen` is told the backup's id before it can come into being.
    ///
    /// # Errors
    /// What the command would say.
    ///
    /// # Panics
    /// If the scratch directory can't be written to.
    pub fn back_up(&self, wish: &Wish, rng: &mut Rng, chosen: impl FnMut(&BackupId)) -> Done<BackupId> {
        let request = BackupRequest {
            snapshot: wish.snapshot,
            volume: Some(self.volume.clone()),
            id: wish.backup.clone(),
            compare: if wish.full { Compare::Nothing } else { Compare::Newest },
            block_bytes: Some(BLOCK_BYTES),
            streams: 1,
            // Several segments, each of several parts.
            segment_bytes: 5 * u64::from(BLOCK_BYTES),
            ..BackupRequest::new(self.fill_volume(wish.content).into())
        };
        let runner = self.runner(rng);
        let made = self.engine(&runner).back_up(&request, &mut Listener(chosen)).map_err(text)?;
        Ok(made.manifest.backup)
    }

    /// What `septet delete` does.
    ///
    /// # Errors
    /// What the command would say.
    pub fn delete(&self, backup: &BackupId, rng: &mut Rng) -> Done<()> {
        self.delete_as(backup, false, rng)
    }

    /// What `septet delete --force` does.
    ///
    /// # Errors
    /// What the command would say.
    pub fn delete_by_force(&self, backup: &BackupId, rng: &mut Rng) -> Done<()> {
        self.delete_as(backup, true, rng)
    }

    fn delete_as(&self, backup: &BackupId, force: bool, rng: &mut Rng) -> Done<()> {
        let request = DeleteRequest { backups: vec![self.name_of(backup)], force };
        self.engine(&self.runner(rng)).delete(&request, &mut ()).map(drop).map_err(text)
    }

    fn name_of(&self, backup: &BackupId) -> String {
        format!("{}/{backup}", self.volume)
    }

    /// All runs on all hosts have ended, and whoever looks at a marker that one has left knows it.
    ///
    /// # Panics
    /// If the store has stopped.
    pub fn end_all_runs(&self) {
        for mut marker in pending::list(&self.repository, &self.volume).expect("the markers").pending {
            "an earlier one".clone_into(&mut marker.by.boot);
            self.store.put(&marker.key(), marker.encode().into()).expect("a marker");
        }
    }

    /// What `septet clean` does.
    ///
    /// # Errors
    /// What the command would say.
    pub fn clean(&self) -> Done<()> {
        let request = CleanRequest { volume: Some(self.volume.clone()) };
        request.carry_out(&self.repository, &mut ()).map(drop).map_err(text)
    }

    /// What `septet verify` does: the backups that it finds damaged, each with a reason.
    ///
    /// # Errors
    /// What the command would say.
    pub fn verify(&self, rng: &mut Rng) -> Done<Vec<(BackupId, String)>> {
        let request = VerifyRequest { streams: Some(1), ..VerifyRequest::default() };
        let verified = self.engine(&self.runner(rng)).verify(&request, &mut ()).map_err(text)?;
        Ok(verified.damaged.into_iter().map(|damaged| (damaged.backup, damaged.range.reason)).collect())
    }

    /// What `septet restore` does; what came out.
    ///
    /// # Errors
    /// What the command would say.
    ///
    /// # Panics
    /// If what was restored can't be read.
    pub fn restore(&self, backup: &BackupId, rng: &mut Rng) -> Done<Vec<u8>> {
        let target = self.file("restored");
        let request =
            RestoreRequest { streams: Some(1), ..RestoreRequest::new(self.name_of(backup), target.clone().into()) };
        self.engine(&self.runner(rng)).restore(&request, &mut ()).map_err(text)?;
        let restored = fs::read(&target).expect("the target");
        fs::remove_file(target).expect("removing the target");
        Ok(restored)
    }

    /// What each backup that is listed holds.
    ///
    /// # Panics
    /// If one does not come back as it was.
    pub fn contents(&self) -> BTreeMap<BackupId, Vec<u8>> {
        let listing = self.repository.backups(&self.volume).expect("a list");
        assert!(listing.damaged.is_empty(), "{:?}", listing.damaged);
        let content = |manifest: Manifest| {
            let (backup, blocks) = (manifest.backup.clone(), manifest.geometry().expect("a geometry").blocks());
            let reader = BackupReader::open(&self.repository, manifest).expect("its tables");
            let (mut content, mut block) = (Vec::new(), Vec::new());
            for number in 0..blocks {
                reader.read_block(number, &mut block).unwrap_or_else(|error| panic!("{backup}: {error}"));
                content.extend_from_slice(&block);
            }
            (backup, content)
        };
        listing.manifests.into_iter().map(content).collect()
    }

    /// Asserts that there is what the manifests name, tombstones, and nothing else.
    ///
    /// # Panics
    /// If there is something else.
    pub fn check_objects(&self) {
        let mut named = BTreeSet::from([keys::repository()]);
        for manifest in self.repository.backups(&self.volume).expect("a list").manifests {
            named.extend([manifest.key(), manifest.checksums_key(), manifest.map_key()]);
            named.extend(manifest.segment_rows().map(|(_, source, row)| source.segment_key(row)));
        }
        let there = self.store.list("").expect("a list").into_iter().map(|object| object.key);
        let there: BTreeSet<_> = there.filter(|key| !self.is_tombstone(key)).collect();
        assert_eq!(there, named, "left: there; right: named by a manifest");
        assert_eq!(self.store.unfinished(), [""; 0], "uploads that nobody will finish");
    }

    /// Whether a tombstone lies under this key.
    fn is_tombstone(&self, key: &str) -> bool {
        if !matches!(keys::parse(key), Some(keys::Key::Manifest { .. })) {
            return false;
        }
        let bytes = self.store.get(key, 1 << 20).expect("a record");
        matches!(Record::decode(&bytes).expect("a record"), Record::Tombstone(_))
    }

    /// Asserts that a day later a cleaning takes the tombstones, too.
    ///
    /// # Panics
    /// If one is left.
    pub fn check_tombstones_expire(&self) {
        self.store.let_time_pass(Duration::from_secs(25 * 60 * 60));
        self.clean().expect("cleaning");
        let keys = self.store.list("").expect("a list").into_iter().map(|object| object.key);
        let left: Vec<_> = keys.filter(|key| self.is_tombstone(key)).collect();
        assert_eq!(left, [""; 0], "tombstones that nobody needs");
    }
}
