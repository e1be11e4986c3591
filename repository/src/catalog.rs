//! Which volumes and backups there are, and which one is meant by a name.
//!
//! A backup exists if its manifest does. One that can't be read is reported beside the others and
//! never hides them.

use crate::{Repository, RepositoryError, Result};
use septet_format::{BackupId, FormatError, MANIFEST_BYTES_MAX, Manifest, Record, VolumeName, keys};
use septet_store::StoreErrorKind;

use crate::parallel::parallel;

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
        let mut new = self.backup_ids(volume)?;
        new.retain(|backup| !listing.has(backup));
        let read = parallel(self.store().part_rules().parts_in_flight, &new, |backup| self.manifest(volume, backup));
        for (backup, manifest) in new.into_iter().zip(read) {
            match manifest {
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
        match self.record(volume, backup, 0)? {
            Record::Backup(manifest) => Ok(manifest),
            Record::Tombstone(_) => Err(self.unknown(format!("{volume}/{backup}"))),
        }
    }

    /// Reads one generation of a backup's manifest, or the tombstone in its place; it must be this
    /// repository's, this volume's and this backup's.
    pub(crate) fn record(&self, volume: &VolumeName, backup: &BackupId, generation: u32) -> Result<Record> {
        let key = keys::manifest(volume, backup, generation);
        let bytes = self.store().get(&key, MANIFEST_BYTES_MAX as u64).map_err(|error| match error.kind() {
            StoreErrorKind::NotFound => self.unknown(format!("{volume}/{backup}")),
            _ => error.into(),
        })?;
        let record = Record::decode(&bytes).map_err(|cause| self.object_error(&key, cause))?;
        let owner = record.repository();
        self.ensure(owner == self.id(), &key, "manifest", || format!("it belongs to the repository {owner}"))?;
        let name = record.name();
        self.ensure(name == (volume, backup, generation), &key, "manifest", || {
            format!("it is that of {}", keys::manifest(name.0, name.1, name.2))
        })?;
        Ok(record)
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
        match self.store().len(&keys::manifest(volume, backup, 0)) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    fn ids(listing: &Listing) -> Vec<&str> {
        listing.manifests.iter().map(|manifest| manifest.backup.as_str()).collect()
    }

    fn said(sample: &Sample, spec: &str) -> String {
        sample.repository.find(spec).unwrap_err().to_string()
    }

    #[test]
    fn backups_are_listed_oldest_first_and_the_newest_is_found() {
        let mut sample = Sample::new();
        assert!(sample.repository.volumes().unwrap().is_empty());
        for id in ["z", "a", "m"] {
            sample.backup(id, None, &[1]);
        }
        let listing = sample.repository.backups(&sample.volume).unwrap();
        assert_eq!((ids(&listing), listing.next_sequence()), (vec!["z", "a", "m"], 4));
        assert_eq!(sample.repository.newest(&sample.volume).unwrap().unwrap().backup.as_str(), "m");
        assert_eq!(sample.repository.volumes().unwrap(), [sample.volume.clone()]);
        let nowhere = "nowhere".parse().unwrap();
        assert!(sample.repository.newest(&nowhere).unwrap().is_none());
        assert_eq!(Listing::default().next_sequence(), 1);
    }

    #[test]
    fn a_backup_is_found_by_its_names() {
        let mut sample = Sample::new();
        sample.backup("b1", None, &[1]);
        sample.backup("b2", None, &[1]);
        for (spec, id) in [("b1", "b1"), ("vol/b1", "b1"), ("vol@latest", "b2")] {
            assert_eq!(sample.repository.find(spec).unwrap().backup.as_str(), id, "{spec}");
        }
        for spec in ["b3", "vol/b3", "other/b1", "other@latest"] {
            assert!(said(&sample, spec).contains(&format!("no backup {spec} in ")), "{}", said(&sample, spec));
        }
        for spec in ["", "../b1", "vol@newest", "vol/../b1", "a b", "latest", "vol/latest", "@latest", "vol/b1/x"] {
            let error = sample.repository.find(spec).unwrap_err();
            assert!(matches!(error, RepositoryError::InvalidName(_)), "{spec:?}: {error}");
        }
    }

    #[test]
    fn an_id_in_two_volumes_is_ambiguous() {
        let mut sample = Sample::new();
        sample.backup("b1", None, &[1]);
        sample.volume = "other".parse().unwrap();
        sample.backup("b1", None, &[2]);
        assert!(said(&sample, "b1").contains("VOLUME/ID (other/b1, vol/b1)"), "{}", said(&sample, "b1"));
        assert_eq!(sample.repository.find("vol/b1").unwrap().volume.as_str(), "vol");
    }

    #[test]
    fn a_damaged_manifest_is_reported_and_hides_no_other() {
        let mut sample = Sample::new();
        for id in ["b1", "b2", "b3", "b4", "b5"] {
            sample.backup(id, None, &[1]);
        }
        sample.flip("vol/b1/manifest-0.json", 40);
        sample.truncate("vol/b2/manifest-0.json", 50);
        sample.copy("vol/b5/manifest-0.json", "vol/b3/manifest-0.json");
        sample.remove("vol/b4/manifest-0.json");
        let listing = sample.repository.backups(&sample.volume).unwrap();
        assert_eq!(ids(&listing), ["b5"]);
        let damaged: Vec<_> = listing.damaged.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(damaged, ["b1", "b2", "b3"]);
        assert!(
            listing.damaged[2].1.to_string().contains("that of vol/b5/manifest-0.json"),
            "{}",
            listing.damaged[2].1
        );
        assert!(listing.damaged.iter().all(|(_, error)| error.is_damage()));
        assert!(said(&sample, "b1").contains("manifest"));
        assert_eq!(sample.repository.resolve("b1").unwrap().1.as_str(), "b1");
    }

    #[test]
    fn a_manifest_of_another_repository_is_refused() {
        let (mut sample, mut other) = (Sample::new(), Sample::new());
        sample.backup("b1", None, &[1]);
        other.backup("b1", None, &[1]);
        other.write("vol/b1/manifest-0.json", &sample.read("vol/b1/manifest-0.json"));
        assert!(said(&other, "b1").contains("belongs to the repository"), "{}", said(&other, "b1"));
    }
}
