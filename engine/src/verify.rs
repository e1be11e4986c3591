//! Reads back every object that the chosen backups need, and names the volume ranges that are damaged.
//!
//! The ring reads each segment once, however many backups share it. Each damaged place is then looked up in the map of
//! each backup. The maps are compared with the indexes of the segments.

use std::collections::{BTreeMap, BTreeSet};

use septet_format::{BackupId, Manifest, SegmentId, VolumeName};
use septet_ipc::message::Damage;
use septet_ipc::{Begin, Sample, VerifyJob};
use septet_repository::audit::{self, DamagedRange, DamagedSegments, IndexCache, QuickLook, damaged_ranges};
use septet_repository::{Found, Repository, RepositoryError};

use crate::backup::{pool_bytes, streams};
use crate::{Doing, Engine, Observer, Report, Result};

/// Checks backups.
#[derive(Debug, Clone, Default)]
pub struct VerifyRequest {
    /// The backups: each an id, `VOLUME/ID` or `VOLUME@latest`; none: all.
    pub backups: Vec<String>,
    /// Whether to check only that every object exists and has the right length.
    pub quick: bool,
    /// The part of the segments to read; none: all. For the others only existence and length are checked.
    pub sample: Option<Sample>,
    /// The number of concurrent reads; none: the store's default.
    pub streams: Option<u32>,
}

/// What was verified.
#[derive(Debug, Default)]
pub struct Verified {
    /// The number of backups.
    pub backups: u64,
    /// The number of segments.
    pub objects: u64,
    /// The size of these segments in bytes.
    pub bytes: u64,
    /// The damage that was found.
    pub damaged: Vec<DamagedBackup>,
    /// The backups that only a later version can read, and why.
    pub unsupported: Vec<(VolumeName, BackupId, String)>,
    /// The run of each volume.
    pub runs: Vec<VolumeRun>,
}

/// A damaged part of a backup.
#[derive(Debug)]
pub struct DamagedBackup {
    /// The volume.
    pub volume: VolumeName,
    /// The backup.
    pub backup: BackupId,
    /// The damaged bytes of the volume, and why. An empty range means that the whole backup is affected.
    pub range: DamagedRange,
}

/// The run that read a volume's segments.
#[derive(Debug)]
pub struct VolumeRun {
    /// The volume.
    pub volume: VolumeName,
    /// The run.
    pub report: Report,
}

impl Engine<'_> {
    /// Verifies backups.
    ///
    /// # Errors
    /// If the repository can't be read. Damage is not an error.
    pub fn verify(&self, request: &VerifyRequest, observer: &mut dyn Observer) -> Result<Verified> {
        let repository = &self.repository;
        let chosen = Chosen::new(repository, &request.backups)?;
        let mut found = Verified::default();
        for (volume, backup, error) in chosen.unreadable {
            match error.is_damage() {
                true => {
                    found.backups += 1;
                    found.whole(&volume, &backup, error.to_string());
                }
                false => found.unsupported.push((volume, backup, error.to_string())),
            }
        }
        for (volume, manifests) in &chosen.manifests {
            if request.quick {
                found.look(repository, volume, manifests, None)?;
            } else {
                let report = self.read_segments(volume, manifests, request, observer)?;
                found.segments(repository, volume, manifests, report, request.sample)?;
            }
        }
        found.forget_deleted(repository, observer)?;
        Ok(found)
    }

    /// Lets the agents read every segment that the backups need.
    fn read_segments(
        &self,
        volume: &VolumeName,
        manifests: &[Manifest],
        request: &VerifyRequest,
        observer: &mut dyn Observer,
    ) -> anyhow::Result<Report> {
        let backups: Vec<BackupId> = manifests.iter().map(|manifest| manifest.backup.clone()).collect();
        observer.begins(&Doing::Verify { volume, backups: &backups });
        let bytes = manifests.iter().map(|manifest| manifest.bytes_stored).sum();
        let begin = Begin::Verify(VerifyJob {
            repo: self.repo.clone(),
            repository: self.repository.id(),
            volume: volume.clone(),
            backups,
            block_bytes: manifests.iter().map(|manifest| manifest.block_bytes).max().unwrap_or_default(),
            streams: streams(&self.repository, request.streams),
            pool_bytes: pool_bytes(self, Some(bytes)),
            sample: request.sample,
        });
        self.runner.run(&begin, observer).map_err(|error| error.with_what_is_left("nothing was changed"))
    }
}

/// The backups to verify.
#[derive(Default)]
struct Chosen {
    manifests: BTreeMap<VolumeName, Vec<Manifest>>,
    unreadable: Vec<(VolumeName, BackupId, RepositoryError)>,
}

impl Chosen {
    fn new(repository: &Repository, specs: &[String]) -> anyhow::Result<Self> {
        let mut chosen = Self::default();
        if specs.is_empty() {
            repository.each_listing(&repository.volumes()?, |volume, listing| {
                let unreadable = listing.damaged.into_iter();
                chosen.unreadable.extend(unreadable.map(|(backup, error)| (volume.clone(), backup, error)));
                if !listing.manifests.is_empty() {
                    chosen.manifests.insert(volume.clone(), listing.manifests);
                }
            })?;
        }
        let mut seen = BTreeSet::new();
        for Found { volume, backup, manifest } in repository.look_up_all(specs)? {
            if !seen.insert((volume.clone(), backup.clone())) {
                continue;
            }
            match manifest {
                Ok(manifest) => chosen.manifests.entry(volume).or_default().push(manifest),
                Err(error) => chosen.unreadable.push((volume, backup, error)),
            }
        }
        Ok(chosen)
    }
}

/// The damage that the agents found. A segment is one of `volume` unless the report names another.
fn damaged_segments(volume: &VolumeName, damage: &[Damage]) -> DamagedSegments {
    let mut damaged = DamagedSegments::default();
    for piece in damage {
        let (Some(backup), Some(number)) = (piece.backup.clone(), piece.segment) else { continue };
        let id = SegmentId { volume: piece.volume.as_ref().unwrap_or(volume).clone(), backup, number };
        match piece.segment_offset {
            Some(offset) => damaged.add_place(id, offset, piece.reason.clone()),
            None => damaged.add_segment(id, piece.reason.clone()),
        }
    }
    damaged
}

impl Verified {
    /// Records damage that affects a whole backup.
    fn whole(&mut self, volume: &VolumeName, backup: &BackupId, reason: String) {
        self.damaged(volume, backup, DamagedRange { offset_bytes: 0, size_bytes: 0, reason });
    }

    fn damaged(&mut self, volume: &VolumeName, backup: &BackupId, range: DamagedRange) {
        self.damaged.push(DamagedBackup { volume: volume.clone(), backup: backup.clone(), range });
    }

    /// Records the damage that the ring found in the segments, and other damage. Segments outside of a sample get only
    /// the quick check.
    fn segments(
        &mut self,
        repository: &Repository,
        volume: &VolumeName,
        manifests: &[Manifest],
        report: Report,
        sample: Option<Sample>,
    ) -> anyhow::Result<()> {
        let part =
            sample.map(|Sample { ppm, round }| audit::Sample::new(repository.part_rules().read_bytes, ppm, round));
        if part.is_some() {
            self.look(repository, volume, manifests, part.as_ref())?;
        } else {
            self.backups += manifests.len() as u64;
        }
        self.objects += report.progress.objects;
        self.bytes += report.progress.bytes_done;
        let damaged = damaged_segments(volume, &report.damage);
        let mut indexes = IndexCache::default();
        for manifest in manifests {
            let ranges = damaged_ranges(repository, manifest, &damaged, &mut indexes, part.as_ref())?;
            ranges.into_iter().for_each(|range| self.damaged(volume, &manifest.backup, range));
        }
        self.runs.push(VolumeRun { volume: volume.clone(), report });
        Ok(())
    }

    /// Checks that every object that the backups need exists and has the right length. With a sample, objects in the
    /// sample are left out.
    fn look(
        &mut self,
        repository: &Repository,
        volume: &VolumeName,
        manifests: &[Manifest],
        sample: Option<&audit::Sample>,
    ) -> anyhow::Result<()> {
        let look = QuickLook::take(repository, volume)?;
        for manifest in manifests {
            self.backups += 1;
            for reason in look.damage(manifest, sample) {
                self.whole(volume, &manifest.backup, reason);
            }
        }
        if sample.is_none() {
            let (objects, bytes) = look.covered(manifests);
            self.objects += objects;
            self.bytes += bytes;
        }
        Ok(())
    }

    /// Drops the damage of backups that were deleted while they were verified.
    fn forget_deleted(&mut self, repository: &Repository, observer: &mut dyn Observer) -> anyhow::Result<()> {
        let named: BTreeSet<_> =
            self.damaged.iter().map(|damaged| (damaged.volume.clone(), damaged.backup.clone())).collect();
        for (volume, backup) in named {
            if !repository.exists(&volume, &backup)? {
                self.damaged.retain(|damaged| (&damaged.volume, &damaged.backup) != (&volume, &backup));
                observer.note(&format!("backup {volume}/{backup} was deleted while it was verified"));
            }
        }
        Ok(())
    }
}
