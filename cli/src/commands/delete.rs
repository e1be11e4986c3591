//! `septet delete`: ends the existence of backups, and removes what no other backup needs.

use std::collections::{BTreeMap, BTreeSet};

use septet_format::{BackupId, VolumeName};
use septet_ipc::{Begin, DeleteJob};
use septet_repository::Repository;
use serde_json::json;

use super::backup::failed;
use super::{place, rbd};
use crate::args;
use crate::args::Global;
use crate::error::Outcome;
use crate::report::Reporter;
use crate::supervisor;

/// Deletes backups.
pub(crate) fn run(args: &args::Delete, global: &Global) -> anyhow::Result<Outcome> {
    let mut reporter = Reporter::new(args.json, global.verbose);
    let objects = delete(args, global, &mut reporter)?;
    let count = args.backup.len();
    let line = format!("deleted {count} backup{}, {objects} objects", if count == 1 { "" } else { "s" });
    reporter.summary(json!({ "backups": args.backup, "objects": objects }), &[line]);
    Ok(Outcome::Done)
}

/// Deletes backups; how many objects went besides their manifests.
pub(super) fn delete(args: &args::Delete, global: &Global, reporter: &mut Reporter) -> anyhow::Result<u64> {
    let repo = place::repository(&args.repo.repo)?;
    let repository = Repository::open(&repo)?;
    // All are looked up before any goes: a misspelt id deletes nothing.
    let mut doomed: BTreeMap<VolumeName, Vec<BackupId>> = BTreeMap::new();
    for spec in &args.backup {
        let (volume, backup) = repository.resolve(spec)?;
        doomed.entry(volume).or_default().push(backup);
    }
    let mut objects = 0;
    for (volume, backups) in doomed {
        let sources: BTreeSet<_> =
            backups.iter().filter_map(|backup| Some(repository.manifest(&volume, backup).ok()?.source)).collect();
        reporter.start(&format!("deleting from {volume}"), json!({ "volume": volume, "backups": backups }));
        let begin = Begin::Delete(DeleteJob { repo: repo.clone(), volume: volume.clone(), backups });
        objects += supervisor::run(&begin, global.timeout, reporter)
            .map_err(|error| failed(error, "what is not deleted yet goes with the next delete of this volume"))?
            .progress
            .objects;
        sources.iter().for_each(|source| rbd::tidy(&repository, &volume, source, None, global, reporter));
    }
    Ok(objects)
}
