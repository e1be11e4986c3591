//! Which volumes and backups there are, and which one is meant by a name.
//!
//! A backup exists if its manifest does. One that can't be read is reported beside the others and
//! never hides them.

use crate::{Repository, RepositoryError, Result};
use septet_format::{BackupId, FormatError, MANIFEST_BYTES_MAX, Manifest, VolumeName, keys};
use septet_store::StoreErrorKind;

/// The backups of one volume.
#[derive(Debug, Default)]
pub struct Listing {
    /// Those that can be read, oldest first.
    pub manifests: Vec<Manifest>,
    /// Those that exist and can't be read, and why.
    pub damaged: Vec<(BackupId, RepositoryError)>,
}

impl Listing {
    /// What the volume's next backup is numbered.
    pub fn next_sequence(&self) -> u64 {
        self.manifests.last().map_or(1, |newest| newest.sequence.saturating_add(1))
    }

    /// Whether the backup exists, readable or not.
    pub fn has(&self, backup: &BackupId) -> bool {
        self.manifests.iter().any(|manifest| manifest.backup == *backup)
            || self.damaged.iter().any(|(damaged, _)| damaged == backup)
    }

    fn sort(&mut self) {
        self.manifests.sort_by(|a, b| (a.sequence, a.created, &a.backup).cmp(&(b.sequence, b.created, &b.backup)));
    }
}

impl Repository {
    /// The volumes that have objects, sorted by name.
    pub fn volumes(&self) -> Result<Vec<VolumeName>> {
        let names = self.store().list_children("")?;
        Ok(names.into_iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// All backups of a volume; none if there is no such volume.
    pub fn backups(&self, volume: &VolumeName) -> Result<Listing> {
        let mut listing = Listing::default();
        self.add_backups(volume, &mut listing)?;
        Ok(listing)
    }

    /// Adds those backups of a volume that aren't in the listing yet.
    pub(crate) fn add_backups(&self, volume: &VolumeName, listing: &mut Listing) -> Result<()> {
        for backup in self.backup_ids(volume)? {
            if listing.has(&backup) {
                continue;
            }
            match self.manifest(volume, &backup) {
                Ok(manifest) => listing.manifests.push(manifest),
                // Not committed, or deleted.
                Err(RepositoryError::UnknownBackup { .. }) => {}
                Err(error @ RepositoryError::Object { .. }) => listing.damaged.push((backup, error)),
                Err(error) if error.is_damage() => listing.damaged.push((backup, error)),
                Err(error) => return Err(error),
            }
        }
        listing.sort();
        Ok(())
    }

    /// The ids under which a volume has objects, with a manifest or without, sorted.
    pub(crate) fn backup_ids(&self, volume: &VolumeName) -> Result<Vec<BackupId>> {
        let names = self.store().list_children(&keys::volume_prefix(volume))?;
        Ok(names.into_iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Reads one manifest; it must be this repository's, this volume's and this backup's.
    pub fn manifest(&self, volume: &VolumeName, backup: &BackupId) -> Result<Manifest> {
        let key = keys::manifest(volume, backup);
        let bytes = self.store().get(&key, MANIFEST_BYTES_MAX as u64).map_err(|error| match error.kind() {
            StoreErrorKind::NotFound => self.unknown(format!("{volume}/{backup}")),
            _ => error.into(),
        })?;
        let manifest = Manifest::decode(&bytes).map_err(|cause| self.object_error(&key, cause))?;
        let ours = manifest.repository == self.id();
        self.ensure(ours, &key, "manifest", || format!("it belongs to the repository {}", manifest.repository))?;
        let same = manifest.volume == *volume && manifest.backup == *backup;
        self.ensure(same, &key, "manifest", || {
            format!("it is that of backup {}/{}", manifest.volume, manifest.backup)
        })?;
        Ok(manifest)
    }

    /// The volume's newest backup that can be read.
    pub fn newest(&self, volume: &VolumeName) -> Result<Option<Manifest>> {
        Ok(self.backups(volume)?.manifests.pop())
    }

    /// The backup that is meant by an id, by `VOLUME/ID` or by `VOLUME@latest`.
    pub fn find(&self, spec: &str) -> Result<Manifest> {
        let (volume, backup) = self.resolve(spec)?;
        self.manifest(&volume, &backup)
    }

    /// The same without reading the backup's manifest, which may be damaged.
    pub fn resolve(&self, spec: &str) -> Result<(VolumeName, BackupId)> {
        if let Some((volume, which)) = spec.split_once('@') {
            if which != "latest" {
                let text = format!("{spec:?} names no backup: write an id, VOLUME/ID or VOLUME@latest");
                return Err(RepositoryError::InvalidName(text));
            }
            let newest = self.newest(&volume.parse().map_err(invalid)?)?;
            return newest.map(|manifest| (manifest.volume, manifest.backup)).ok_or_else(|| self.unknown(spec));
        }
        if let Some((volume, backup)) = spec.split_once('/') {
            let (volume, backup) = (volume.parse().map_err(invalid)?, backup.parse().map_err(invalid)?);
            return if self.exists(&volume, &backup)? { Ok((volume, backup)) } else { Err(self.unknown(spec)) };
        }
        self.resolve_id(spec.parse().map_err(invalid)?)
    }

    fn resolve_id(&self, backup: BackupId) -> Result<(VolumeName, BackupId)> {
        let mut volumes = Vec::new();
        for volume in self.volumes()? {
            if self.exists(&volume, &backup)? {
                volumes.push(volume);
            }
        }
        match <[VolumeName; 1]>::try_from(volumes) {
            Ok([volume]) => Ok((volume, backup)),
            Err(none) if none.is_empty() => Err(self.unknown(backup.as_str())),
            Err(volumes) => Err(RepositoryError::Ambiguous { backup, volumes }),
        }
    }

    /// Whether the backup's manifest is there.
    pub fn exists(&self, volume: &VolumeName, backup: &BackupId) -> Result<bool> {
        match self.store().len(&keys::manifest(volume, backup)) {
            Err(error) if error.kind() == StoreErrorKind::NotFound => Ok(false),
            found => Ok(found.map(|_| true)?),
        }
    }

    fn unknown(&self, name: impl Into<String>) -> RepositoryError {
        RepositoryError::UnknownBackup { name: name.into(), url: self.store().url() }
    }
}

fn invalid(error: FormatError) -> RepositoryError {
    RepositoryError::InvalidName(error.to_string())
}
