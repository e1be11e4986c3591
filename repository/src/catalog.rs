//! Finds the volumes and backups that exist, and the backup that a name means.
//!
//! A backup exists if the newest readable generation of its manifest is not a tombstone. Unreadable manifests are
//! reported beside the others and never hide them.

use crate::contents::{Contents, Under};
use crate::parallel::parallel;
use crate::tombstone::{self, READS_AT_ONCE, Top};
use crate::{Repository, RepositoryError, Result};
use septet_format::{BackupId, FormatError, MANIFEST_BYTES_MAX, Manifest, Record, VolumeName, keys};
use septet_store::StoreErrorKind;

/// The number of volumes that are read at a time: 1,000 volumes of one backup each take 16 round trips.
const VOLUMES_AT_ONCE: usize = 128;
/// The approximate limit of manifests from several volumes in memory at a time.
const MANIFESTS_MAX: usize = 1024;

/// The backups of one volume.
#[derive(Debug, Default)]
pub struct Listing {
    /// The readable backups, oldest first.
    pub manifests: Vec<Manifest>,
    /// The backups with an unreadable generation that may be the newest, and the error. If an older generation is a
    /// readable manifest, the backup is also among [`manifests`](Self::manifests).
    pub damaged: Vec<(BackupId, RepositoryError)>,
}

/// A backup that exists.
#[derive(Debug)]
pub struct Found {
    /// Its volume.
    pub volume: VolumeName,
    /// Its id.
    pub backup: BackupId,
    /// Its manifest, or why that can't be read.
    pub manifest: Result<Manifest>,
}

/// The meaning of a backup's name.
enum Meant {
    /// The newest backup of a volume.
    Newest(VolumeName),
    /// The backup with this id in a volume.
    One(VolumeName, BackupId),
    /// The only backup with this id in any volume.
    Anywhere(BackupId),
}

impl Listing {
    /// The sequence number of the volume's next backup.
    pub fn next_sequence(&self) -> u64 {
        self.manifests.last().map_or(1, |newest| newest.sequence.saturating_add(1))
    }

    /// Whether the backup exists, readable or not.
    pub fn has(&self, backup: &BackupId) -> bool {
        self.manifests.iter().any(|manifest| manifest.backup == *backup)
            || self.damaged.iter().any(|(damaged, _)| damaged == backup)
    }

    fn add(&mut self, backup: &BackupId, (found, errors): (Top, Vec<(u32, RepositoryError)>)) {
        // The damaged generation above a tombstone may itself have been a tombstone.
        self.damaged.extend(errors.into_iter().next().map(|(_, error)| (backup.clone(), error)));
        if let Top::Manifest(manifest) = found {
            self.manifests.push(*manifest);
        }
    }

    fn sort(&mut self) {
        self.manifests.sort_by(|a, b| (a.sequence, a.created, &a.backup).cmp(&(b.sequence, b.created, &b.backup)));
    }
}

impl Repository {
    /// The volumes with objects, sorted by name.
    pub fn volumes(&self) -> Result<Vec<VolumeName>> {
        let names = self.store().list_children("")?;
        Ok(names.into_iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Calls `found` with the backups of each volume, in the given order. Several volumes are read at a time.
    pub fn each_listing(&self, volumes: &[VolumeName], mut found: impl FnMut(&VolumeName, Listing)) -> Result<()> {
        for volumes in volumes.chunks(VOLUMES_AT_ONCE) {
            let contents = parallel(VOLUMES_AT_ONCE, volumes, |volume| Contents::of_volume(self, volume));
            let contents = contents.into_iter().collect::<Result<Vec<_>>>()?;
            let mut rest: &[_] = &volumes.iter().zip(&contents).collect::<Vec<_>>();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(whole_volumes(rest));
                rest = later;
                for (listing, (volume, _)) in self.listings(now)?.into_iter().zip(now) {
                    found(volume, listing);
                }
            }
        }
        Ok(())
    }

    /// All backups of a volume; none if the volume does not exist.
    pub fn backups(&self, volume: &VolumeName) -> Result<Listing> {
        self.backups_in(volume, &Contents::of_volume(self, volume)?)
    }

    /// The backups that a listing of the volume contains.
    pub(crate) fn backups_in(&self, volume: &VolumeName, contents: &Contents) -> Result<Listing> {
        let mut listing = Listing::default();
        self.add_backups(volume, contents, &mut listing)?;
        Ok(listing)
    }

    /// Adds the backups of a volume that are not in `listing` yet.
    pub(crate) fn add_backups(&self, volume: &VolumeName, contents: &Contents, listing: &mut Listing) -> Result<()> {
        let new = contents.backups.iter().filter(|(id, under)| !under.generations.is_empty() && !listing.has(id));
        let new: Vec<_> = new.collect();
        let read = parallel(READS_AT_ONCE, &new, |(backup, under)| tombstone::top(self, volume, backup, under));
        for ((backup, _), read) in new.into_iter().zip(read) {
            listing.add(backup, read?);
        }
        listing.sort();
        Ok(())
    }

    /// The backups of several volumes, all read at the same time.
    fn listings(&self, volumes: &[(&VolumeName, &Contents)]) -> Result<Vec<Listing>> {
        let mut all = Vec::new();
        for (at, (volume, contents)) in volumes.iter().enumerate() {
            all.extend(contents.backups.iter().map(|(backup, under)| (at, *volume, backup, under)));
        }
        let read =
            parallel(VOLUMES_AT_ONCE, &all, |(_, volume, backup, under)| tombstone::top(self, volume, backup, under));
        let mut listings: Vec<Listing> = volumes.iter().map(|_| Listing::default()).collect();
        for ((at, _, backup, _), read) in all.into_iter().zip(read) {
            listings[at].add(backup, read?);
        }
        listings.iter_mut().for_each(Listing::sort);
        Ok(listings)
    }

    /// Reads one manifest. It must belong to this repository, this volume and this backup.
    pub fn manifest(&self, volume: &VolumeName, backup: &BackupId) -> Result<Manifest> {
        self.manifest_under(volume, backup, &Under::list(self, volume, backup)?)
    }

    /// Reads the manifests of several backups of a volume.
    pub fn manifests(&self, volume: &VolumeName, backups: &[BackupId]) -> Vec<Result<Manifest>> {
        parallel(READS_AT_ONCE, backups, |backup| self.manifest(volume, backup))
    }

    /// Like `manifest`, for an id whose objects have just been listed.
    pub(crate) fn manifest_under(&self, volume: &VolumeName, backup: &BackupId, under: &Under) -> Result<Manifest> {
        self.look_under(volume, backup, under)?.unwrap_or_else(|| Err(self.unknown(format!("{volume}/{backup}"))))
    }

    /// Reads one generation of a backup's manifest, or the tombstone in its place. It must belong to this repository,
    /// this volume and this backup. `None` if the key is free.
    pub(crate) fn record(&self, volume: &VolumeName, backup: &BackupId, generation: u32) -> Result<Option<Record>> {
        let key = keys::manifest(volume, backup, generation);
        let bytes = match self.store().get(&key, MANIFEST_BYTES_MAX as u64) {
            Err(error) if error.kind() == StoreErrorKind::NotFound => return Ok(None),
            got => got?,
        };
        let record = Record::decode(&bytes).map_err(|cause| self.object_error(&key, cause))?;
        let owner = record.repository();
        self.ensure(owner == self.id(), &key, "manifest", || format!("it belongs to the repository {owner}"))?;
        let name = record.name();
        self.ensure(name == (volume, backup, generation), &key, "manifest", || {
            format!("it belongs to {}", keys::manifest(name.0, name.1, name.2))
        })?;
        Ok(Some(record))
    }

    /// The volume's newest readable backup.
    pub fn newest(&self, volume: &VolumeName) -> Result<Option<Manifest>> {
        Ok(self.backups(volume)?.manifests.pop())
    }

    /// Finds a backup by its id, by `VOLUME/ID` or by `VOLUME@latest`.
    pub fn find(&self, spec: &str) -> Result<Manifest> {
        self.look_up(spec)?.manifest
    }

    /// Like `find`, but the backup's manifest need not be readable.
    pub fn look_up(&self, spec: &str) -> Result<Found> {
        let mut found = self.look_up_all(&[spec.to_owned()])?;
        found.pop().ok_or_else(|| self.unknown(spec))
    }

    /// Like `look_up`, for several names. All backups are looked at together, and the volumes are listed once.
    pub fn look_up_all(&self, specs: &[String]) -> Result<Vec<Found>> {
        let meant = specs.iter().map(|spec| self.meant(spec)).collect::<Result<Vec<_>>>()?;
        let is_anywhere = |meant: &Meant| matches!(meant, Meant::Anywhere(_));
        let volumes = if meant.iter().any(is_anywhere) { self.volumes()? } else { Vec::new() };
        let mut places = Vec::new();
        for (at, meant) in meant.iter().enumerate() {
            match meant {
                Meant::Newest(_) => {}
                Meant::One(volume, backup) => places.push((at, volume, backup)),
                Meant::Anywhere(backup) => places.extend(volumes.iter().map(|volume| (at, volume, backup))),
            }
        }
        let looks = parallel(READS_AT_ONCE, &places, |(_, volume, backup)| self.look(volume, backup));
        let mut found: Vec<Vec<Found>> = specs.iter().map(|_| Vec::new()).collect();
        for ((at, volume, backup), look) in places.into_iter().zip(looks) {
            let (volume, backup) = (volume.clone(), backup.clone());
            found[at].extend(look?.map(|manifest| Found { volume, backup, manifest }));
        }
        let of_specs = specs.iter().zip(meant).zip(found);
        of_specs.map(|((spec, meant), found)| self.choose(spec, meant, found)).collect()
    }

    /// The backup that a name means, of those that have it.
    fn choose(&self, spec: &str, meant: Meant, found: Vec<Found>) -> Result<Found> {
        if let Meant::Newest(volume) = meant {
            let newest = self.newest(&volume)?.ok_or_else(|| self.unknown(spec))?;
            return Ok(Found { volume, backup: newest.backup.clone(), manifest: Ok(newest) });
        }
        match <[Found; 1]>::try_from(found) {
            Ok([found]) => Ok(found),
            Err(several) => Err(match several.first() {
                None => self.unknown(spec),
                Some(Found { backup, .. }) => {
                    let backup = backup.clone();
                    let volumes = several.into_iter().map(|found| found.volume).collect();
                    RepositoryError::Ambiguous { backup, volumes }
                }
            }),
        }
    }

    fn meant(&self, spec: &str) -> Result<Meant> {
        if let Some((volume, which)) = spec.split_once('@') {
            let volume = volume.parse().map_err(invalid)?;
            let text = || format!("{spec:?} names no backup: write an id, VOLUME/ID or VOLUME@latest");
            return if which == "latest" {
                Ok(Meant::Newest(volume))
            } else {
                Err(RepositoryError::InvalidName(text()))
            };
        }
        match spec.split_once('/') {
            Some((volume, backup)) => {
                Ok(Meant::One(volume.parse().map_err(invalid)?, backup.parse().map_err(invalid)?))
            }
            None => Ok(Meant::Anywhere(spec.parse().map_err(invalid)?)),
        }
    }

    /// Whether the backup exists, readable or not.
    pub fn exists(&self, volume: &VolumeName, backup: &BackupId) -> Result<bool> {
        Ok(self.look(volume, backup)?.is_some())
    }

    /// Looks at one backup; `None` if it does not exist.
    fn look(&self, volume: &VolumeName, backup: &BackupId) -> Result<Option<Result<Manifest>>> {
        self.look_under(volume, backup, &Under::list(self, volume, backup)?)
    }

    fn look_under(&self, volume: &VolumeName, backup: &BackupId, under: &Under) -> Result<Option<Result<Manifest>>> {
        let (found, errors) = tombstone::top(self, volume, backup, under)?;
        Ok(match (found, errors.into_iter().next()) {
            (Top::Manifest(manifest), _) => Some(Ok(*manifest)),
            (_, Some((_, error))) => Some(Err(error)),
            (_, None) => None,
        })
    }

    fn unknown(&self, name: impl Into<String>) -> RepositoryError {
        RepositoryError::UnknownBackup { name: name.into(), url: self.store().url() }
    }
}

/// How many of the first volumes have together no more backups than are read at a time; at least one volume.
fn whole_volumes(volumes: &[(&VolumeName, &Contents)]) -> usize {
    let mut backups = 0;
    let fit = volumes.iter().take_while(|(_, contents)| {
        backups += contents.backups.len();
        backups <= MANIFESTS_MAX
    });
    fit.count().max(1)
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
            listing.damaged[2].1.to_string().contains("belongs to vol/b5/manifest-0.json"),
            "{}",
            listing.damaged[2].1
        );
        assert!(listing.damaged.iter().all(|(_, error)| error.is_damage()));
        assert!(said(&sample, "b1").contains("manifest"));
        assert_eq!(sample.repository.look_up("b1").unwrap().backup.as_str(), "b1");
    }

    #[test]
    fn a_tombstone_is_no_backup_and_a_damaged_generation_is_told_of() {
        let mut sample = Sample::new();
        let b1 = sample.backup("b1", None, &[1]);
        sample.backup("b2", None, &[1]);
        sample.delete("b2");
        let listing = sample.repository.backups(&sample.volume).unwrap();
        assert!(ids(&listing) == ["b1"] && listing.damaged.is_empty() && !listing.has(&"b2".parse().unwrap()));
        assert!(said(&sample, "b2").contains("no backup b2"), "{}", said(&sample, "b2"));
        sample.repository.commit(&Manifest { generation: 3, seconds: 7.0, ..b1 }).unwrap();
        assert_eq!(sample.repository.find("b1").unwrap().generation, 3);
        sample.flip("vol/b1/manifest-3.json", 40);
        let listing = sample.repository.backups(&sample.volume).unwrap();
        assert_eq!((ids(&listing), listing.manifests[0].generation), (vec!["b1"], 0));
        assert_eq!(listing.damaged[0].0.as_str(), "b1");
        assert!(listing.damaged[0].1.to_string().contains("manifest-3.json"));
        assert_eq!(sample.repository.find("b1").unwrap().generation, 0);
        sample.delete("b1");
        let left = ["vol/b1/manifest-4.json", "vol/b2/manifest-1.json"];
        assert_eq!(sample.keys(), left, "what is damaged goes, too");
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
