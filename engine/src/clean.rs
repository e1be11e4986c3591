//! Frees the space of objects that no backup needs.

use septet_format::{BackupId, VolumeName};
use septet_repository::{Repository, clean};

use crate::{Observer, Result};

/// Cleans a repository.
#[derive(Debug, Clone, Default)]
pub struct CleanRequest {
    /// Clean only this volume; none: all volumes.
    pub volume: Option<VolumeName>,
}

/// What a cleaning removed.
#[derive(Debug, Clone, Default)]
pub struct Cleaned {
    /// The backups whose runs died before they committed.
    pub interrupted: Vec<(VolumeName, BackupId)>,
    /// The number of other removed objects.
    pub objects: usize,
}

impl CleanRequest {
    /// Cleans a repository. Each removal is atomic, so this may be interrupted at any time.
    ///
    /// # Errors
    /// If the repository can't be read, or an object can't be removed.
    pub fn carry_out(&self, repository: &Repository, observer: &mut dyn Observer) -> Result<Cleaned> {
        let volumes = match &self.volume {
            Some(volume) => vec![volume.clone()],
            None => repository.volumes()?,
        };
        let mut all = Cleaned::default();
        for volume in volumes {
            let cleaned = clean(repository, &volume)?;
            all.objects += cleaned.objects.len();
            for backup in cleaned.interrupted {
                observer.note(&format!("removed the leftovers of the interrupted backup {volume}/{backup}"));
                all.interrupted.push((volume.clone(), backup));
            }
        }
        Ok(all)
    }
}
