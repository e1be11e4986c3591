//! What one host does to a repository, as the commands do it: the library's steps around the rings.
//!
//! Several hosts may share a store; one may do something while another stands still at an operation.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use jiff::SignedDuration;
use septet_format::{BackupId, Manifest, Pending, VolumeName, keys};
use septet_ipc::message::Damage;
use septet_ipc::{BackupJob, Begin, Compression, DeleteJob, RestoreJob, Resume, VerifyJob};
use septet_repository::audit::{DamagedSegments, IndexCache, damaged_ranges};
use septet_repository::conclude::{self, Left};
use septet_repository::{BackupReader, Repository, clean, pending, resume};
use septet_store::{Memory, Store};
use tempfile::TempDir;

use crate::{BLOCK_BYTES, Ring};

const POOL_BYTES: u64 = 2 << 20;

/// A host.
#[derive(Clone)]
pub struct Host {
    pub(crate) store: Arc<Memory>,
    pub(crate) repository: Repository,
    pub(crate) volume: VolumeName,
    scratch: Arc<TempDir>,
    /// Whether whoever looks at a marker of this host takes its run for dead: it is when the store stops.
    mortal: bool,
    /// How many hours its clock is wrong by.
    hours_wrong: i64,
}

/// A backup that is to be made.
#[derive(Clone)]
pub struct Wish<'a> {
    /// The id that it is to have, unless there is an interrupted one to go on with.
    pub backup: BackupId,
    /// Whether it may have no other id.
    pub exactly: bool,
    /// Whether it is compared with nothing.
    pub full: bool,
    /// What the volume holds.
    pub content: &'a [u8],
    /// Whether the volume is known not to change.
    pub snapshot: bool,
}

/// What something that a host did came to; text says why not.
pub type Done<T> = Result<T, String>;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
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

    fn ring(&self, begin: Begin, rng: &mut Rng) -> Done<Vec<Damage>> {
        let rng = Rng::with_seed(rng.u64(..));
        Ring::start(begin, rng).and_then(Ring::run).map_err(|stopped| text(stopped.0))
    }

    fn file(&self) -> std::path::PathBuf {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        self.scratch.path().join(COUNT.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// What `septet backup` does. `chosen` is told the backup's id before it can come into being.
    ///
    /// # Errors
    /// What the command would say.
    ///
    /// # Panics
    /// If the scratch directory can't be written to.
    pub fn back_up(&self, wish: &Wish, rng: &mut Rng, mut chosen: impl FnMut(&BackupId)) -> Done<BackupId> {
        let listing = self.repository.backups(&self.volume).map_err(text)?;
        let parent = listing.manifests.last().filter(|_| !wish.full).map(|parent| parent.backup.clone());
        let snapshot = wish.snapshot.then_some("the volume");
        let exact = wish.exactly.then_some(&wish.backup);
        let interrupted =
            resume::find(&self.repository, &self.volume, exact, parent.as_ref(), snapshot).map_err(text)?;
        let spared = interrupted.as_ref().map(|interrupted| &interrupted.marker.backup);
        pending::sweep(&self.repository, &self.volume, spared).map_err(text)?;
        let backup = spared.unwrap_or(&wish.backup).clone();
        chosen(&backup);
        let mut marker = pending::marker(&self.repository, self.volume.clone(), backup, parent);
        marker.snapshot = snapshot.map(str::to_owned);
        marker.created += SignedDuration::from_hours(self.hours_wrong);
        if self.mortal {
            "an earlier one".clone_into(&mut marker.by.boot);
        }
        let mut job = self.job(&marker, listing.next_sequence(), &self.file());
        match &interrupted {
            None => drop(pending::begin(&self.repository, &marker).map_err(text)?),
            Some(interrupted) => {
                marker.attempt = interrupted.marker.attempt + 1;
                pending::resume(&self.repository, &marker).map_err(text)?;
                let first_segment = resume::first_free(&self.repository, &self.volume, &marker.backup).map_err(text)?;
                job.resume = Some(Resume { first_segment, unchanged: interrupted.unchanged });
            }
        }
        fs::write(&job.source, wish.content).expect("the volume");
        let source = job.source.clone();
        let made = self.ring(Begin::Backup(job), rng);
        fs::remove_file(source).expect("removing the volume");
        self.conclude(&marker, made)
    }

    fn conclude(&self, marker: &Pending, made: Done<Vec<Damage>>) -> Done<BackupId> {
        match made {
            Ok(_) => conclude::finish(&self.repository, marker).map(|manifest| manifest.backup).map_err(text),
            Err(why) => match conclude::give_up(&self.repository, marker, true).map_err(text)? {
                Left::Whole => Ok(marker.backup.clone()),
                _ => Err(why),
            },
        }
    }

    fn job(&self, marker: &Pending, sequence: u64, source: &Path) -> BackupJob {
        BackupJob {
            source: source.to_str().expect("a path in UTF-8").to_owned(),
            source_kind: marker.source.kind.clone(),
            source_identity: marker.source.identity.clone(),
            machine: marker.by.machine.clone(),
            repo: self.store.url(),
            repository: self.repository.id(),
            volume: self.volume.clone(),
            backup: marker.backup.clone(),
            attempt: 0,
            parent: marker.parent.clone(),
            sequence,
            metadata: None,
            block_bytes: BLOCK_BYTES,
            compression: Compression::Lz4,
            streams: 1,
            pool_bytes: POOL_BYTES,
            // Several segments, each of several parts.
            segment_bytes: 5 * u64::from(BLOCK_BYTES),
            volume_bytes: None,
            resume: None,
            rbd: None,
        }
    }

    /// What `septet delete` does.
    ///
    /// # Errors
    /// What the command would say.
    pub fn delete(&self, backup: &BackupId, rng: &mut Rng) -> Done<()> {
        let (repo, volume) = (self.store.url(), self.volume.clone());
        self.ring(Begin::Delete(DeleteJob { repo, volume, backups: vec![backup.clone()] }), rng).map(drop)
    }

    /// What `septet delete --force` does.
    ///
    /// # Errors
    /// What the command would say.
    pub fn delete_by_force(&self, backup: &BackupId, rng: &mut Rng) -> Done<()> {
        pending::discard(&self.repository, &self.volume, backup).map_err(text)?;
        self.delete(backup, rng)
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
        clean(&self.repository, &self.volume).map(drop).map_err(text)
    }

    /// What `septet verify` does: the backups that it finds damaged, each with a reason.
    ///
    /// # Errors
    /// What the command would say.
    pub fn verify(&self, rng: &mut Rng) -> Done<Vec<(BackupId, String)>> {
        let listing = self.repository.backups(&self.volume).map_err(text)?;
        let backups: Vec<_> = listing.manifests.iter().map(|manifest| manifest.backup.clone()).collect();
        let mut segments = DamagedSegments::default();
        for Damage { backup, segment, segment_offset, reason, .. } in self.read_segments(&backups, rng)? {
            match (backup, segment, segment_offset) {
                (Some(backup), Some(number), Some(offset)) => segments.add_place(backup, number, offset, reason),
                (Some(backup), Some(number), None) => segments.add_segment(backup, number, reason),
                _ => return Err(format!("a damage without a place: {reason}")),
            }
        }
        let (mut indexes, mut damaged) = (IndexCache::default(), listing.damaged);
        let mut found: Vec<_> = damaged.drain(..).map(|(backup, error)| (backup, text(error))).collect();
        for manifest in listing.manifests {
            let ranges = damaged_ranges(&self.repository, &manifest, &segments, &mut indexes, None).map_err(text)?;
            found.extend(ranges.into_iter().map(|range| (manifest.backup.clone(), range.reason)));
        }
        found.retain(|(backup, _)| self.repository.exists(&self.volume, backup).unwrap_or(true));
        Ok(found)
    }

    fn read_segments(&self, backups: &[BackupId], rng: &mut Rng) -> Done<Vec<Damage>> {
        let job = VerifyJob {
            repo: self.store.url(),
            volume: self.volume.clone(),
            backups: backups.to_vec(),
            block_bytes: BLOCK_BYTES,
            streams: 1,
            pool_bytes: POOL_BYTES,
            sample: None,
        };
        self.ring(Begin::Verify(job), rng)
    }

    /// What `septet restore` does; what came out.
    ///
    /// # Errors
    /// What the command would say.
    ///
    /// # Panics
    /// If what was restored can't be read.
    pub fn restore(&self, backup: &BackupId, rng: &mut Rng) -> Done<Vec<u8>> {
        let manifest = self.repository.manifest(&self.volume, backup).map_err(text)?;
        let target = self.file();
        let job = RestoreJob {
            repo: self.store.url(),
            volume: self.volume.clone(),
            backup: backup.clone(),
            target: target.to_str().expect("a path in UTF-8").to_owned(),
            overwrite: false,
            zeroed: false,
            keep_going: false,
            offset_bytes: 0,
            length_bytes: manifest.volume_bytes,
            volume_bytes: manifest.volume_bytes,
            block_bytes: manifest.block_bytes,
            streams: 1,
            pool_bytes: POOL_BYTES,
            rbd: None,
        };
        self.ring(Begin::Restore(job), rng)?;
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

    /// Asserts that there is what the manifests name, and nothing else.
    ///
    /// # Panics
    /// If there is something else.
    pub fn check_objects(&self) {
        let mut named = BTreeSet::from([keys::repository()]);
        for manifest in self.repository.backups(&self.volume).expect("a list").manifests {
            named.extend([manifest.key(), manifest.checksums_key(), manifest.map_key()]);
            named.extend(manifest.segment_rows().map(|(_, source, row)| source.segment_key(row)));
        }
        let there: BTreeSet<_> = self.store.list("").expect("a list").into_iter().map(|object| object.key).collect();
        assert_eq!(there, named, "left: there; right: named by a manifest");
        assert_eq!(self.store.unfinished(), [""; 0], "uploads that nobody will finish");
    }
}
