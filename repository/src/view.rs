//! One look at a volume, on which a run bases several decisions: each further look would cost a round trip to the
//! store.

use crate::contents::Contents;
use crate::parallel::both;
use crate::pending::Markers;
use crate::{Listing, Repository, Result};
use septet_format::VolumeName;

/// What one listing of a volume showed, and what the manifests and markers said that were read after it.
#[derive(Debug, Default)]
pub struct VolumeView {
    /// The backups.
    pub backups: Listing,
    pub(crate) contents: Contents,
    pub(crate) markers: Markers,
}

impl Repository {
    /// Lists a volume.
    pub fn contents(&self, volume: &VolumeName) -> Result<Contents> {
        Contents::of_volume(self, volume)
    }

    /// Looks at a volume.
    pub fn view(&self, volume: &VolumeName) -> Result<VolumeView> {
        self.view_of(volume, Contents::of_volume(self, volume)?)
    }

    /// Looks at a volume that has just been listed.
    pub fn view_of(&self, volume: &VolumeName, contents: Contents) -> Result<VolumeView> {
        let (backups, markers) =
            both(|| self.backups_in(volume, &contents), || Markers::in_listing(self, volume, &contents));
        Ok(VolumeView { backups: backups?, markers: markers?, contents })
    }
}
