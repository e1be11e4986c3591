//! `septet delete`: ends the existence of backups, and removes what no other backup needs.

use std::collections::{BTreeMap, BTreeSet};

use septet_format::{BackupId, VolumeName};
use septet_ipc::{Begin, DeleteJob};
use septet_repository::{Repository, pending};
use serde_json::json;

use super::attempt::failed;
use super::{place, rbd};
use crate::args;
use crate::args::Global;
use crate::error::{Outcome, Usage};
use crate::report::{Reporter, number_of};
use crate::supervisor;

/// Deletes backups.
pub(crate) fn run(args: &args::Delete, global: &Global) -> anyhow::Result<Outcome> {
    let mut reporter = Reporter::new(args.json, global);
    let objects = delete(args, global, &mut reporter)?;
    let line = format!("deleted {}, {}", number_of(args.backup.len() as u64, "backup"), number_of(objects, "object"));
    reporter.summary(json!({ "backups": args.backup, "objects": objects }), &[line]);
    Ok(Outcome::Done)
}

/// Deletes backups; how many objects went besides their manifests.
pub(super) fn delete(args: &args::Delete, global: &Global, reporter: &mut Reporter) -> anyhow::Result<u64> {
    let repo = place::repository_within(&args.repo.repo, global.timeout, None)?;
    let repository = Repository::open(&repo)?;
    // All are looked up before any goes: a misspelt id deletes nothing.
    let mut doomed: BTreeMap<VolumeName, Vec<BackupId>> = BTreeMap::new();
    for spec in &args.backup {
        let (volume, backup) = if args.force { named(spec)? } else { repository.resolve(spec)? };
        doomed.entry(volume).or_default().push(backup);
    }
    if args.force {
        for (volume, backups) in &doomed {
            backups.iter().try_for_each(|backup| pending::discard(&repository, volume, backup))?;
        }
    }
    let mut objects = 0;
    for (volume, backups) in doomed {
        let sources: BTreeSet<_> =
            backups.iter().filter_map(|backup| Some(repository.manifest(&volume, backup).ok()?.source.name)).collect();
        reporter.start(&format!("deleting from {volume}"), json!({ "volume": volume, "backups": backups }));
        let begin = Begin::Delete(DeleteJob { repo: repo.clone(), volume: volume.clone(), backups });
        objects += supervisor::run(&begin, global, reporter)
            .map_err(|error| failed(error, "what is not deleted yet goes with the next delete of this volume"))?
            .progress
            .objects;
        sources.iter().for_each(|source| rbd::tidy(&repository, &volume, source, None, global, reporter));
    }
    Ok(objects)
}

/// The backup of that name, which need not be one.
fn named(spec: &str) -> anyhow::Result<(VolumeName, BackupId)> {
    let usage = |why: &str| Usage(format!("{spec:?} names no backup: {why}"));
    let (volume, backup) = spec.split_once('/').ok_or_else(|| usage("with --force write VOLUME/ID"))?;
    let wrong = |error: septet_format::FormatError| usage(&error.to_string());
    Ok((volume.parse().map_err(wrong)?, backup.parse().map_err(wrong)?))
}
