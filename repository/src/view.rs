//! One look at a volume, on which a run bases several decisions: each further look would cost a round trip to the
//! store.

use crate::contents::Contents;
use crate::pending::Markers;
use crate::{Listing, Repository, Result};
use septet_format::VolumeName;
use septet_store::both;

/// The result of one listing of a volume, and the manifests and markers that were read after it.
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
