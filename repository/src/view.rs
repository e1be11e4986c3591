//! One look at a volume, on which a run bases several decisions: each further look would cost a round trip to the
//! store.

use crate::contents::Contents;
use crate::markers::{Markers, is_dead};
use crate::{Listing, Repository, Result};
use septet_format::{BackupId, VolumeName, keys};
use septet_store::{Access, both};
use std::sync::Arc;

/// The result of one listing of a volume, and the manifests and markers that were read after it.
#[derive(Debug, Default)]
pub struct VolumeView {
    /// The backups.
    pub backups: Listing,
    pub(crate) contents: Contents,
    pub(crate) markers: Markers,
}

impl VolumeView {
    /// The number of the first attempt at a backup of this id: above all earlier attempts, none of which committed. If a
    /// run is making the backup, the number of its attempt, so that the new attempt can't begin.
    pub fn first_attempt(&self, backup: &BackupId) -> u32 {
        if let Some(marker) = self.markers.pending.iter().find(|marker| marker.backup == *backup) {
            return if is_dead(marker) { marker.attempt.saturating_add(1) } else { marker.attempt };
        }
        let highest = self.contents.backups.get(backup).and_then(|under| under.generations.last());
        highest.map_or(0, |highest| highest.saturating_add(1))
    }
}

impl Repository {
    /// Like `open_or_create`; lists `volume` at the same time.
    pub fn open_or_create_and_list(url: &str, volume: &VolumeName) -> Result<(Self, Contents)> {
        let store = septet_store::open(url, Access::Create)?;
        let (listed, opened) =
            both(|| store.list(&keys::volume_prefix(volume)), || Self::open_or_create_store(Arc::clone(&store)));
        Ok((opened?, Contents::new(listed?)))
    }

    /// Lists a volume.
    pub fn contents(&self, volume: &VolumeName) -> Result<Contents> {
        Contents::of_volume(self, volume)
    }

    /// Lists a volume and reads its manifests and markers.
    pub fn view(&self, volume: &VolumeName) -> Result<VolumeView> {
        self.view_of(volume, Contents::of_volume(self, volume)?)
    }

    /// Reads the manifests and markers of a volume that has just been listed.
    pub fn view_of(&self, volume: &VolumeName, contents: Contents) -> Result<VolumeView> {
        let (backups, markers) =
            both(|| self.backups_in(volume, &contents), || Markers::in_listing(self, volume, &contents));
        Ok(VolumeView { backups: backups?, markers: markers?, contents })
    }
}
