//! `septet verify`: reads back every object that some backups need, and names the volume ranges
//! that are damaged.
//!
//! Segments are read once each by the ring, however many backups share them. What is damaged there
//! is then looked up in each backup's own map, which is held against the segments' indexes.

use std::collections::{BTreeMap, BTreeSet};

use septet_format::{BackupId, Manifest, VolumeName};
use septet_ipc::message::Damage;
use septet_ipc::{Begin, Sample, VerifyJob};
use septet_repository::Repository;
use septet_repository::audit::{self, DamagedRange, DamagedSegments, IndexCache, QuickLook, damaged_ranges};
use serde_json::{Value, json};

use super::attempt::failed;
use super::backup::{pool_bytes, streams};
use super::{place, rbd};
use crate::args;
use crate::args::Global;
use crate::error::Outcome;
use crate::report::{Reporter, number_of, print_line, size};
use crate::supervisor::{self, Observer, Report};

/// Rounds go on for ever; this many of any share are different.
const ROUNDS_MAX: u64 = 1_000_000;

/// Verifies backups.
pub(crate) fn run(args: &args::Verify, global: &Global) -> anyhow::Result<Outcome> {
    let mut reporter = Reporter::new(args.json, global);
    let repo = place::repository_within(&args.repo.repo, global.timeout, None)?;
    let repository = Repository::open(&repo)?;
    let chosen = Chosen::new(&repository, &args.backup)?;
    let sample = sample(args);
    let mut found = Found::default();
    for (volume, backup, why) in &chosen.unreadable {
        found.whole(volume, backup, why.clone());
    }
    for (volume, manifests) in &chosen.manifests {
        if args.quick {
            found.look(&repository, volume, manifests, None)?;
        } else {
            let report = read_segments(&repository, &repo, volume, manifests, (args, sample), global, &mut reporter)?;
            reporter.profile(&report);
            found.segments(&repository, volume, manifests, &report, sample)?;
        }
    }
    found.forget_deleted(&repository, &mut reporter)?;
    found.report(args.json, sample, &mut reporter);
    Ok(if found.ranges.is_empty() { Outcome::Done } else { Outcome::Damage })
}

/// The part that is wanted, if not all is; which one, chance decides unless the user does.
fn sample(args: &args::Verify) -> Option<Sample> {
    let any = || uuid::Uuid::new_v4().as_u64_pair().1 % ROUNDS_MAX;
    args.sample.map(|percent| Sample { ppm: rbd::ppm(percent), round: args.round.unwrap_or_else(any) })
}

/// What is to be verified.
#[derive(Default)]
struct Chosen {
    manifests: BTreeMap<VolumeName, Vec<Manifest>>,
    unreadable: Vec<(VolumeName, BackupId, String)>,
}

impl Chosen {
    fn new(repository: &Repository, specs: &[String]) -> anyhow::Result<Self> {
        let mut chosen = Self::default();
        if specs.is_empty() {
            for volume in repository.volumes()? {
                let listing = repository.backups(&volume)?;
                for (backup, error) in listing.damaged {
                    chosen.unreadable.push((volume.clone(), backup, error.to_string()));
                }
                if !listing.manifests.is_empty() {
                    chosen.manifests.insert(volume, listing.manifests);
                }
            }
        }
        for spec in specs {
            let (volume, backup) = repository.resolve(spec)?;
            match repository.manifest(&volume, &backup) {
                Ok(manifest) => chosen.manifests.entry(volume).or_default().push(manifest),
                Err(error) if error.is_damage() => chosen.unreadable.push((volume, backup, error.to_string())),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(chosen)
    }
}

/// Has the ring read every segment that the backups need.
fn read_segments(
    repository: &Repository,
    repo: &str,
    volume: &VolumeName,
    manifests: &[Manifest],
    (args, sample): (&args::Verify, Option<Sample>),
    global: &Global,
    reporter: &mut Reporter,
) -> anyhow::Result<Report> {
    let backups: Vec<BackupId> = manifests.iter().map(|manifest| manifest.backup.clone()).collect();
    reporter.start(&format!("verifying {volume}"), json!({ "volume": volume, "backups": backups }));
    let bytes = manifests.iter().map(|manifest| manifest.bytes_stored).sum();
    let begin = Begin::Verify(VerifyJob {
        repo: repo.to_owned(),
        volume: volume.clone(),
        backups,
        block_bytes: manifests.iter().map(|manifest| manifest.block_bytes).max().unwrap_or_default(),
        streams: streams(repository, args.streams),
        pool_bytes: pool_bytes(repository, Some(bytes)),
        sample,
    });
    supervisor::run(&begin, global, reporter).map_err(|error| failed(error, "nothing was changed"))
}

fn damaged_segments(damage: &[Damage]) -> DamagedSegments {
    let mut damaged = DamagedSegments::default();
    for piece in damage {
        let (Some(backup), Some(number)) = (&piece.backup, piece.segment) else { continue };
        match piece.segment_offset {
            Some(offset) => damaged.add_place(backup.clone(), number, offset, piece.reason.clone()),
            None => damaged.add_segment(backup.clone(), number, piece.reason.clone()),
        }
    }
    damaged
}

/// What was found.
#[derive(Default)]
struct Found {
    backups: u64,
    objects: u64,
    bytes: u64,
    ranges: Vec<(VolumeName, BackupId, DamagedRange)>,
    /// What each volume's ring did.
    runs: Vec<Value>,
}

impl Found {
    fn whole(&mut self, volume: &VolumeName, backup: &BackupId, reason: String) {
        self.backups += 1;
        self.ranges.push((volume.clone(), backup.clone(), DamagedRange { offset_bytes: 0, size_bytes: 0, reason }));
    }

    /// What the ring found in the segments, and what is wrong besides. What a sample does not read is looked at.
    fn segments(
        &mut self,
        repository: &Repository,
        volume: &VolumeName,
        manifests: &[Manifest],
        report: &Report,
        sample: Option<Sample>,
    ) -> anyhow::Result<()> {
        let part = sample
            .map(|Sample { ppm, round }| audit::Sample::new(repository.store().part_rules().read_bytes, ppm, round));
        if part.is_some() {
            self.look(repository, volume, manifests, part.as_ref())?;
        } else {
            self.backups += manifests.len() as u64;
        }
        self.objects += report.progress.objects;
        self.bytes += report.progress.bytes_done;
        self.runs.push(json!({ "volume": volume, "seconds": report.seconds, "agents": report.agents }));
        let damaged = damaged_segments(&report.damage);
        let mut indexes = IndexCache::default();
        for manifest in manifests {
            let ranges = damaged_ranges(repository, manifest, &damaged, &mut indexes, part.as_ref())?;
            self.ranges.extend(ranges.into_iter().map(|range| (volume.clone(), manifest.backup.clone(), range)));
        }
        Ok(())
    }

    /// Looks whether every object that the backups need is there and as long as it should be, or every one that
    /// is not a part of the sample.
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
                let range = DamagedRange { offset_bytes: 0, size_bytes: 0, reason };
                self.ranges.push((volume.clone(), manifest.backup.clone(), range));
            }
        }
        if sample.is_none() {
            let (objects, bytes) = look.covered(manifests);
            self.objects += objects;
            self.bytes += bytes;
        }
        Ok(())
    }

    /// A backup that was deleted while it was looked at is not damaged.
    fn forget_deleted(&mut self, repository: &Repository, reporter: &mut Reporter) -> anyhow::Result<()> {
        let named: BTreeSet<_> =
            self.ranges.iter().map(|(volume, backup, _)| (volume.clone(), backup.clone())).collect();
        for (volume, backup) in named {
            if !repository.exists(&volume, &backup)? {
                self.ranges.retain(|(of, id, _)| (of, id) != (&volume, &backup));
                reporter.note(&format!("backup {volume}/{backup} was deleted while it was verified"));
            }
        }
        Ok(())
    }

    fn report(&self, json: bool, sample: Option<Sample>, reporter: &mut Reporter) {
        let damaged: Vec<_> = self
            .ranges
            .iter()
            .map(|(volume, backup, range)| {
                let DamagedRange { offset_bytes, size_bytes, reason } = range;
                json!({ "volume": volume, "backup": backup, "offset": offset_bytes, "size": size_bytes, "reason": reason })
            })
            .collect();
        if !json {
            for (volume, backup, range) in &self.ranges {
                print_line(&line(volume, backup, range));
            }
        }
        let mut summary = json!({
            "backups": self.backups, "segments": self.objects, "bytes_checked": self.bytes, "damaged": damaged,
            "runs": self.runs,
        });
        let part = sample.map_or_else(String::new, |Sample { ppm, round }| {
            summary["sample"] = json!({ "ppm": ppm, "round": round });
            format!(" ({} %, round {round})", f64::from(ppm) / 10_000.0)
        });
        let verdict = if self.ranges.is_empty() { "all whole" } else { "damage found" };
        let line = format!(
            "verified {}, {}, {}{part}: {verdict}",
            number_of(self.backups, "backup"),
            number_of(self.objects, "segment"),
            size(self.bytes)
        );
        reporter.summary(summary, &[line]);
    }
}

fn line(volume: &VolumeName, backup: &BackupId, range: &DamagedRange) -> String {
    if range.size_bytes == 0 {
        return format!("damaged: {volume}/{backup}: {}", range.reason);
    }
    let end = range.offset_bytes.saturating_add(range.size_bytes);
    format!("damaged: {volume}/{backup} bytes {}..{end}: {}", range.offset_bytes, range.reason)
}
