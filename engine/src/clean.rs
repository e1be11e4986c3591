//! Frees the space of objects that no backup needs.

use septet_format::{BackupId, VolumeName};
use septet_repository::{Repository, clean};

use crate::Observer;

/// Cleans a repository.
#[derive(Debug, Clone, Default)]
pub struct CleanRequest {
    /// Only this volume; none: all.
    pub volume: Option<VolumeName>,
}

/// What a cleaning has removed.
#[derive(Debug, Clone, Default)]
pub struct Cleaned {
    /// The backups whose runs died before they were whole.
    pub interrupted: Vec<(VolumeName, BackupId)>,
    /// How many other objects.
    pub objects: usize,
}

impl CleanRequest {
    /// Cleans. Each removal is whole by itself: this may be ended at any time.
    ///
    /// # Errors
    /// If the repository can't be read, or something can't be removed.
    pub fn carry_out(&self, repository: &Repository, observer: &mut dyn Observer) -> anyhow::Result<Cleaned> {
        let volumes = match &self.volume {
            Some(volume) => vec![volume.clone()],
            None => repository.volumes()?,
        };
        let mut all = Cleaned::default();
        for volume in volumes {
            let cleaned = clean(repository, &volume)?;
            all.objects += cleaned.objects.len();
            for backup in cleaned.interrupted {
                observer.note(&format!("removed what the interrupted backup {volume}/{backup} had left"));
                all.interrupted.push((volume.clone(), backup));
            }
        }
        Ok(all)
    }
}
