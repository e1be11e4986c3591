//! Deletes backups, and removes the objects that no other backup needs.

use std::collections::{BTreeMap, BTreeSet};

use septet_format::{BackupId, VolumeName};
use septet_ipc::{Begin, DeleteJob};
use septet_repository::sweep;
use septet_volume::VolumeUrl;

use crate::companion::Companion;
use crate::{BadRequest, Doing, Engine, Observer, Result, tracking};

/// Deletes backups.
#[derive(Debug, Clone)]
pub struct DeleteRequest {
    /// The backups: each an id, `VOLUME/ID` or `VOLUME@latest`; with `force` only `VOLUME/ID`.
    pub backups: Vec<String>,
    /// Also delete unfinished backups, even if a run is making them.
    pub force: bool,
}

/// What was deleted.
#[derive(Debug, Clone, Copy)]
pub struct Deleted {
    /// The number of deleted objects, without the manifests.
    pub objects: u64,
}

impl Engine<'_> {
    /// Deletes backups. All names are resolved before anything is deleted, so a misspelt id deletes nothing.
    ///
    /// # Errors
    /// If a backup does not exist or can't be deleted. The next deletion removes what is left.
    pub fn delete(&self, request: &DeleteRequest, observer: &mut dyn Observer) -> Result<Deleted> {
        let doomed = self.doomed(request)?;
        if request.force {
            for (volume, backups) in &doomed {
                backups.iter().try_for_each(|backup| sweep::discard(&self.repository, volume, backup))?;
            }
        }
        let mut objects = 0;
        for (volume, backups) in doomed {
            objects += self.delete_of(&volume, backups, observer)?;
        }
        Ok(Deleted { objects })
    }

    fn doomed(&self, request: &DeleteRequest) -> anyhow::Result<BTreeMap<VolumeName, Vec<BackupId>>> {
        let mut doomed: BTreeMap<VolumeName, Vec<BackupId>> = BTreeMap::new();
        let named = match request.force {
            true => request.backups.iter().map(|spec| named(spec)).collect::<anyhow::Result<Vec<_>>>()?,
            false => {
                let found = self.repository.look_up_all(&request.backups)?;
                found.into_iter().map(|found| (found.volume, found.backup)).collect()
            }
        };
        for (volume, backup) in named {
            let backups = doomed.entry(volume).or_default();
            if !backups.contains(&backup) {
                backups.push(backup);
            }
        }
        Ok(doomed)
    }

    fn delete_of(
        &self,
        volume: &VolumeName,
        backups: Vec<BackupId>,
        observer: &mut dyn Observer,
    ) -> anyhow::Result<u64> {
        let manifests = self.repository.manifests(volume, &backups).into_iter().flatten();
        let sources: BTreeSet<VolumeUrl> = manifests.filter_map(|manifest| manifest.source.name.parse().ok()).collect();
        let companions: Vec<_> = sources.iter().filter_map(|source| Companion::start(source, self.timeout)).collect();
        observer.begins(&Doing::Delete { volume, backups: &backups });
        let begin = Begin::Delete(DeleteJob {
            // The worker writes tombstones.
            repo: self.repository.url_for_writers(&self.repo)?,
            repository: self.repository.id(),
            volume: volume.clone(),
            backups,
        });
        let report = self
            .runner
            .run(&begin, observer)
            .map_err(|error| error.with_what_is_left("the next delete of this volume removes the rest"))?;
        for mut companion in companions {
            tracking::tidy(self, &mut companion, volume, None, observer);
        }
        Ok(report.progress.objects)
    }
}

/// Parses the name of a backup, which need not exist.
fn named(spec: &str) -> anyhow::Result<(VolumeName, BackupId)> {
    let usage = |why: &str| BadRequest(format!("{spec:?} names no backup: {why}"));
    let (volume, backup) = spec.split_once('/').ok_or_else(|| usage("with --force write VOLUME/ID"))?;
    let wrong = |error: septet_format::FormatError| usage(&error.to_string());
    Ok((volume.parse().map_err(wrong)?, backup.parse().map_err(wrong)?))
}
