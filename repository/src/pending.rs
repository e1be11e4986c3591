//! The marker of a backup in the making: who makes it, and on which parent.
//!
//! It is written before all other objects of the backup and removed after the manifest is written,
//! or after everything else is removed. [`begin`] also keeps the first half of the agreement with
//! deletion that [`reclaim`] explains: first the marker, then the look at the parent.

use crate::process::Process;
use crate::reclaim::{self, Survey};
use crate::{Repository, RepositoryError, Result};
use bytes::Bytes;
use jiff::Timestamp;
use septet_format::{BackupId, FORMAT_VERSION, JSON_BYTES_MAX, Manifest, Pending, VolumeName, keys};
use septet_store::StoreErrorKind;

/// The markers of one volume.
#[derive(Debug, Default)]
pub struct Markers {
    /// Those that can be read.
    pub pending: Vec<Pending>,
    /// The backups whose markers can't, and why.
    pub unreadable: Vec<(BackupId, RepositoryError)>,
}

/// A marker of this process, not written yet.
pub fn marker(repository: &Repository, volume: VolumeName, backup: BackupId, parent: Option<BackupId>) -> Pending {
    let Process { host, machine, boot, pid, start } = Process::current();
    let (format, repository, created) = (FORMAT_VERSION, repository.id(), Timestamp::now());
    Pending { format, repository, volume, backup, parent, host, machine, boot, pid, process_start: start, created }
}

/// Writes the marker and only then looks: the id must be unused, and the parent must (still) be
/// there. Gives the parent's manifest. After an error no marker of ours is left.
pub fn begin(repository: &Repository, marker: &Pending) -> Result<Option<Manifest>> {
    create(repository, marker)?;
    check_begun(repository, marker).inspect_err(|_| {
        // A marker that can't be removed now is found by `sweep` later.
        let _ = remove(repository, &marker.volume, &marker.backup);
    })
}

/// Writes the marker, unless there is one for this id: then the error says whose.
pub fn create(repository: &Repository, marker: &Pending) -> Result<()> {
    let Pending { volume, backup, .. } = marker;
    match repository.store().put_if_absent(&keys::pending(volume, backup), Bytes::from(marker.encode())) {
        Err(error) if error.kind() == StoreErrorKind::AlreadyExists => Err(match read(repository, volume, backup)? {
            Some(Pending { backup, host, pid, created, .. }) => RepositoryError::Pending { backup, host, pid, created },
            None => error.into(),
        }),
        put => Ok(put?),
    }
}

fn check_begun(repository: &Repository, marker: &Pending) -> Result<Option<Manifest>> {
    let Pending { volume, backup, .. } = marker;
    let taken = |why| Err(RepositoryError::BackupExists { volume: volume.clone(), backup: backup.clone(), why });
    let objects = repository.store().list(&keys::backup_prefix(volume, backup))?;
    let has = |key: String| objects.iter().any(|object| object.key == key);
    if has(keys::manifest(volume, backup)) {
        return taken("exists already");
    }
    // Writing over what a deleted backup of this id has left would destroy the backups that need it.
    if objects.len() > usize::from(has(keys::pending(volume, backup))) {
        return taken("was deleted, or never finished, and parts of it are still there");
    }
    let Some(parent) = &marker.parent else { return Ok(None) };
    match repository.manifest(volume, parent) {
        Err(RepositoryError::UnknownBackup { .. }) => {
            Err(RepositoryError::ParentGone { volume: volume.clone(), parent: parent.clone() })
        }
        manifest => manifest.map(Some),
    }
}

/// Removes the marker: the backup is committed, or nothing is left of it.
pub fn remove(repository: &Repository, volume: &VolumeName, backup: &BackupId) -> Result<()> {
    Ok(repository.store().delete(&[keys::pending(volume, backup)])?)
}

/// Reads a marker, if there is one.
pub fn read(repository: &Repository, volume: &VolumeName, backup: &BackupId) -> Result<Option<Pending>> {
    let key = keys::pending(volume, backup);
    let bytes = match repository.store().get(&key, JSON_BYTES_MAX as u64) {
        Err(error) if error.kind() == StoreErrorKind::NotFound => return Ok(None),
        got => got?,
    };
    let marker = Pending::decode(&bytes).map_err(|cause| repository.object_error(&key, cause))?;
    let names = (marker.repository, &marker.volume, &marker.backup);
    let ours = names == (repository.id(), volume, backup);
    repository.ensure(ours, &key, "pending.json", || "it is that of another backup".to_owned())?;
    Ok(Some(marker))
}

/// All markers of a volume.
pub fn list(repository: &Repository, volume: &VolumeName) -> Result<Markers> {
    let mut markers = Markers::default();
    // One request for a thousand names, instead of one for each backup, most of which have no marker.
    let objects = repository.store().list(&keys::volume_prefix(volume))?;
    let marked = objects.into_iter().filter_map(|object| match keys::parse(&object.key) {
        Some(keys::Key::Pending { backup, .. }) => Some(backup),
        _ => None,
    });
    for backup in marked {
        match read(repository, volume, &backup) {
            Ok(marker) => markers.pending.extend(marker),
            Err(error @ RepositoryError::Object { .. }) => markers.unreadable.push((backup, error)),
            Err(error) if error.is_damage() => markers.unreadable.push((backup, error)),
            Err(error) => return Err(error),
        }
    }
    Ok(markers)
}

/// Whether the run that wrote the marker is known to have ended; what can't be known is false.
pub fn is_dead(marker: &Pending) -> bool {
    let Pending { host, machine, boot, pid, process_start, .. } = marker.clone();
    Process { host, machine, boot, pid, start: process_start }.is_gone(&Process::current())
}

/// Removes what dead runs have left of a volume, and their markers last; tells whose it was.
/// Where the run had committed its backup, or others need what lies under its id, that stays.
pub fn sweep(repository: &Repository, volume: &VolumeName) -> Result<Vec<BackupId>> {
    let dead: Vec<Pending> = list(repository, volume)?.pending.into_iter().filter(is_dead).collect();
    if !dead.is_empty() {
        remove_all(repository, volume, &dead)?;
    }
    Ok(dead.into_iter().map(|marker| marker.backup).collect())
}

/// Ends a backup in the making, whoever makes it, if there is one: what it has written so far goes as
/// by [`sweep`]. Its run, should there still be one, fails when it finds its marker gone.
pub fn discard(repository: &Repository, volume: &VolumeName, backup: &BackupId) -> Result<()> {
    match read(repository, volume, backup)? {
        Some(marker) => remove_all(repository, volume, &[marker]),
        None => Ok(()),
    }
}

fn remove_all(repository: &Repository, volume: &VolumeName, dead: &[Pending]) -> Result<()> {
    let mut survey = Survey::take(repository, volume)?;
    survey.markers.pending.retain(|marker| !dead.contains(marker));
    let prefixes: Vec<String> = dead.iter().map(|marker| keys::backup_prefix(volume, &marker.backup)).collect();
    for prefix in &prefixes {
        repository.store().abort_unfinished(prefix)?;
    }
    let mut remains = reclaim::plan(&survey, &[]);
    remains.retain(|key| prefixes.iter().any(|prefix| key.starts_with(prefix)));
    repository.store().delete(&remains)?;
    let markers: Vec<String> = dead.iter().map(|marker| keys::pending(volume, &marker.backup)).collect();
    Ok(repository.store().delete(&markers)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    fn of(sample: &Sample, backup: &str, parent: Option<&str>) -> Pending {
        let parent = parent.map(|parent| parent.parse().unwrap());
        marker(&sample.repository, sample.volume.clone(), backup.parse().unwrap(), parent)
    }

    /// The same from a process of an earlier boot.
    fn dead(sample: &Sample, backup: &str, parent: Option<&str>) -> Pending {
        Pending { boot: "earlier pid:[1]".to_owned(), ..of(sample, backup, parent) }
    }

    fn swept(sample: &Sample) -> Vec<String> {
        let ids = sweep(&sample.repository, &sample.volume).unwrap();
        ids.into_iter().map(|id| id.to_string()).collect()
    }

    #[test]
    fn a_marker_says_whose_it_is_and_keeps_others_away() {
        let sample = Sample::new();
        let ours = of(&sample, "b1", None);
        assert_eq!(begin(&sample.repository, &ours).unwrap(), None);
        assert!(!is_dead(&ours));
        let error = begin(&sample.repository, &of(&sample, "b1", None)).unwrap_err().to_string();
        assert!(error.contains(&format!("process {} on {}", ours.pid, ours.host)), "{error}");
        assert_eq!(list(&sample.repository, &sample.volume).unwrap().pending, [ours]);
        remove(&sample.repository, &sample.volume, &"b1".parse().unwrap()).unwrap();
        assert!(list(&sample.repository, &sample.volume).unwrap().pending.is_empty());
    }

    #[test]
    fn a_backup_begins_only_on_a_parent_that_is_there_and_under_an_id_that_is_free() {
        let mut sample = Sample::new();
        let manifest = sample.backup("b1", None, &[1]);
        sample.backup("b2", Some("b1"), &[1]);
        assert_eq!(begin(&sample.repository, &of(&sample, "b3", Some("b1"))).unwrap(), Some(manifest));
        let refused = |marker: &Pending| begin(&sample.repository, marker).unwrap_err();
        assert!(matches!(refused(&of(&sample, "b4", Some("gone"))), RepositoryError::ParentGone { .. }));
        assert!(refused(&of(&sample, "b1", None)).to_string().contains("vol/b1 exists already"));
        sample.remove("vol/b1/manifest.json");
        reclaim::run(&sample.repository, &sample.volume, &[]).unwrap();
        let error = refused(&of(&sample, "b1", None));
        assert!(error.to_string().contains("parts of it are still there"), "{error}");
        let markers = list(&sample.repository, &sample.volume).unwrap().pending;
        assert_eq!(markers.len(), 1, "those refused have left none: {markers:?}");
    }

    #[test]
    fn sweeping_removes_what_the_dead_have_left_and_nothing_else() {
        let mut sample = Sample::new();
        sample.backup("b1", None, &[1, 3]);
        sample.backup("b2", Some("b1"), &[1, 5]);
        let before = sample.keys();
        for marker in [dead(&sample, "d1", Some("b2")), dead(&sample, "d2", None), of(&sample, "alive", None)] {
            begin(&sample.repository, &marker).unwrap();
            sample.write(&format!("vol/{}/segments/000000", marker.backup), b"some");
            sample.write(&format!("vol/{}/map", marker.backup), b"some");
            sample.write(&format!("vol/{}/.tmp-1", marker.backup), b"some");
        }
        assert_eq!(swept(&sample), ["d1", "d2"]);
        let alive = ["map", "pending.json", "segments/000000"].map(|name| format!("vol/alive/{name}"));
        let mut expected = [before, alive.to_vec()].concat();
        expected.sort();
        assert_eq!(sample.keys(), expected);
        assert!(sample.has(".tmp-1", "vol/alive") && !sample.has("", "vol/d1"));
        assert!(swept(&sample).is_empty());
    }

    #[test]
    fn unfinished_uploads_of_the_dead_go_and_with_them_their_directories() {
        let sample = Sample::new();
        for (marker, lives) in [(dead(&sample, "d1", None), false), (of(&sample, "alive", None), true)] {
            begin(&sample.repository, &marker).unwrap();
            let key = keys::segment(&sample.volume, &marker.backup, 0);
            let upload = sample.repository.store().upload(&key).unwrap();
            upload.put_part(0, 0, vec![Bytes::from_static(b"some")]).unwrap();
            // A run that is killed aborts nothing.
            std::mem::forget(upload);
            let segments = format!("vol/{}/segments", marker.backup);
            assert!(sample.has("", &segments));
            swept(&sample);
            assert_eq!(sample.has("", &segments), lives);
            assert_eq!(sample.has("", &format!("vol/{}", marker.backup)), lives);
        }
    }

    #[test]
    fn a_dead_run_that_had_committed_loses_its_marker_only() {
        let mut sample = Sample::new();
        create(&sample.repository, &dead(&sample, "b1", None)).unwrap();
        sample.backup("b1", None, &[1, 3]);
        let mut before = sample.keys();
        assert_eq!(swept(&sample), ["b1"]);
        before.retain(|key| key != "vol/b1/pending.json");
        assert_eq!(sample.keys(), before);
    }

    #[test]
    fn what_others_need_under_a_dead_runs_id_stays() {
        let mut sample = Sample::new();
        sample.backup("b1", None, &[1, 3]);
        sample.backup("b2", Some("b1"), &[1, 5]);
        sample.remove("vol/b1/manifest.json");
        // A run that took the deleted backup's id and died before it looked.
        create(&sample.repository, &dead(&sample, "b1", None)).unwrap();
        assert_eq!(swept(&sample), ["b1"]);
        assert!(sample.has("segments/000000", "vol/b1") && !sample.has("pending.json", "vol/b1"));
    }

    #[test]
    fn a_damaged_marker_is_reported_and_nothing_is_swept_for_it() {
        let sample = Sample::new();
        create(&sample.repository, &dead(&sample, "b1", None)).unwrap();
        sample.write("vol/b1/map", b"some");
        sample.flip("vol/b1/pending.json", 0);
        let markers = list(&sample.repository, &sample.volume).unwrap();
        assert_eq!((markers.pending.len(), markers.unreadable.len()), (0, 1));
        assert!(markers.unreadable[0].1.to_string().contains("vol/b1/pending.json"));
        assert!(swept(&sample).is_empty() && sample.has("map", "vol/b1"));
    }
}
