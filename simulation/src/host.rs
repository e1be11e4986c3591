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
    BackupRequest, CleanRequest, Compare, DeleteRequest, Doing, Engine, Error, Observer, RestoreRequest,
    TIMEOUT_DEFAULT, VerifyRequest,
};
use septet_format::{BackupId, Manifest, Record, VolumeName, keys};
use septet_ipc::message::{Damage, Progress};
use septet_repository::{BackupReader, Repository, markers};
use septet_store::{Memory, Store};
use tempfile::TempDir;

use crate::BLOCK_BYTES;
use crate::runner::Simulated;

/// A simulated host.
#[derive(Clone)]
pub struct Host {
    pub(crate) store: Arc<Memory>,
    pub(crate) repository: Repository,
    pub(crate) volume: VolumeName,
    scratch: Arc<TempDir>,
    /// The number of requests so far. Each request takes one second of simulated time.
    acts: Arc<AtomicU64>,
    /// Whether other runs consider this host's runs dead. They are dead when the store stops.
    mortal: bool,
    /// The error of its clock in hours.
    hours_wrong: i64,
}

/// The request for a backup.
#[derive(Clone)]
pub struct Wish<'a> {
    /// The required id; none: the id of an interrupted backup that is resumed, or a new one.
    pub backup: Option<BackupId>,
    /// Whether to make a full backup.
    pub full: bool,
    /// The content of the volume.
    pub content: &'a [u8],
    /// Whether the volume is known not to change.
    pub snapshot: bool,
}

/// The result of a request. The error is the command's message.
pub type Done<T> = Result<T, String>;

fn text(error: Error) -> String {
    error.to_string()
}

/// Passes on the id of the backup that is being made.
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
    /// A host with a correct clock.
    ///
    /// # Panics
    /// If the store has no repository and none can be created, or there is no `/dev/shm`.
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

    /// The same host, but other runs consider its runs dead. They are dead when the store stops.
    pub fn mortal(self) -> Self {
        Self { mortal: true, ..self }
    }

    /// The same host with a wrong clock.
    pub fn with_clock_wrong_by(self, hours_wrong: i64) -> Self {
        Self { hours_wrong, ..self }
    }

    /// The runner of the agents for this host's next request.
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

    /// Sets the volume's content. If it already has this content, the file stays the same, as a snapshot would.
    fn fill_volume(&self, content: &[u8]) -> PathBuf {
        let volume = self.file("volume");
        if fs::read(&volume).ok().as_deref() != Some(content) {
            fs::write(&volume, content).expect("the volume");
        }
        volume
    }

    /// Does what `septet backup` does. `chosen` gets the backup's id before the backup is committed.
    ///
    /// # Errors
    /// The error of the command.
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
            // Enough for several segments, each with several parts.
            segment_bytes: 5 * u64::from(BLOCK_BYTES),
            ..BackupRequest::new(self.fill_volume(wish.content).into())
        };
        let runner = self.runner(rng);
        let made = self.engine(&runner).back_up(&request, &mut Listener(chosen)).map_err(text)?;
        Ok(made.manifest.backup)
    }

    /// Does what `septet delete` does.
    ///
    /// # Errors
    /// The error of the command.
    pub fn delete(&self, backup: &BackupId, rng: &mut Rng) -> Done<()> {
        self.delete_as(backup, false, rng)
    }

    /// Does what `septet delete --force` does.
    ///
    /// # Errors
    /// The error of the command.
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

    /// Marks all runs on all hosts as ended, so that every run that reads their markers considers them dead.
    ///
    /// # Panics
    /// If the store has stopped.
    pub fn end_all_runs(&self) {
        for mut marker in markers::list(&self.repository, &self.volume).expect("the markers").pending {
            "an earlier one".clone_into(&mut marker.by.boot);
            self.store.put(&marker.key(), marker.encode().into()).expect("a marker");
        }
    }

    /// Does what `septet clean` does.
    ///
    /// # Errors
    /// The error of the command.
    pub fn clean(&self) -> Done<()> {
        let request = CleanRequest { volume: Some(self.volume.clone()) };
        request.carry_out(&self.repository, &mut ()).map(drop).map_err(text)
    }

    /// Does what `septet verify` does. Returns the damaged backups, each with a reason.
    ///
    /// # Errors
    /// The error of the command.
    pub fn verify(&self, rng: &mut Rng) -> Done<Vec<(BackupId, String)>> {
        let request = VerifyRequest { streams: Some(1), ..VerifyRequest::default() };
        let verified = self.engine(&self.runner(rng)).verify(&request, &mut ()).map_err(text)?;
        Ok(verified.damaged.into_iter().map(|damaged| (damaged.backup, damaged.range.reason)).collect())
    }

    /// Does what `septet restore` does. Returns the restored content.
    ///
    /// # Errors
    /// The error of the command.
    ///
    /// # Panics
    /// If the restored content can't be read.
    pub fn restore(&self, backup: &BackupId, rng: &mut Rng) -> Done<Vec<u8>> {
        let target = self.file("restored");
        let request =
            RestoreRequest { streams: Some(1), ..RestoreRequest::new(self.name_of(backup), target.clone().into()) };
        self.engine(&self.runner(rng)).restore(&request, &mut ()).map_err(text)?;
        let restored = fs::read(&target).expect("the target");
        fs::remove_file(target).expect("removing the target");
        Ok(restored)
    }

    /// The content of each listed backup.
    ///
    /// # Panics
    /// If a backup is damaged.
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

    /// Ends all runs and cleans. Asserts that this hurts no backup and leaves only objects that backups need, and that
    /// a cleaning a day later removes the tombstones.
    ///
    /// # Panics
    /// If it is not so. The text begins with `why`.
    pub fn check_cleaning(&self, why: &str) {
        let listed = self.contents();
        self.end_all_runs();
        self.clean().expect("cleaning");
        assert!(self.contents() == listed, "{why}: cleaning has hurt a backup");
        self.check_objects();
        self.check_tombstones_expire();
        self.check_objects();
    }

    /// Asserts that the store contains what the manifests name, tombstones, and nothing else.
    ///
    /// # Panics
    /// If there is another object, or one is missing.
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

    /// Whether this key has a tombstone.
    fn is_tombstone(&self, key: &str) -> bool {
        if !matches!(keys::parse(key), Some(keys::Key::Manifest { .. })) {
            return false;
        }
        let bytes = self.store.get(key, 1 << 20).expect("a record");
        matches!(Record::decode(&bytes).expect("a record"), Record::Tombstone(_))
    }

    /// Asserts that two cleanings, each a day later, remove the tombstones.
    fn check_tombstones_expire(&self) {
        for _ in 0..2 {
            self.store.let_time_pass(Duration::from_secs(25 * 60 * 60));
            self.clean().expect("cleaning");
        }
        let keys = self.store.list("").expect("a list").into_iter().map(|object| object.key);
        let (tombstones, others): (Vec<_>, Vec<_>) = keys.partition(|key| self.is_tombstone(key));
        let folder = |key: &str| key.split('/').nth(1).map(str::to_owned);
        let needed: BTreeSet<_> = others.iter().map(|key| folder(key)).collect();
        let left: Vec<_> = tombstones.into_iter().filter(|key| !needed.contains(&folder(key))).collect();
        assert_eq!(left, [""; 0], "tombstones of backups of which nothing else is left");
    }
}
