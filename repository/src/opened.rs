//! Opens a backup in the time of one request: its manifest and both tables are read at the same time.

use crate::cached_table::CachedTable;
use crate::table::{Table, read_front};
use crate::{BlockIndex, Repository, RepositoryError, Result, TableKind};
use septet_format::{BackupRef, Manifest, Record, VolumeName};
use septet_store::both;

/// A backup's manifest, and the tables that could be opened.
pub struct OpenedBackup {
    repository: Repository,
    /// The manifest.
    pub manifest: Manifest,
    checksums: Result<Table>,
    map: Result<Table>,
}

impl Repository {
    /// Opens the generation of a backup that another process has found. `UnknownBackup` if it has been deleted since.
    pub fn open_backup(&self, volume: &VolumeName, backup: &BackupRef) -> Result<OpenedBackup> {
        let front = |kind| read_front(self, volume, backup, kind);
        let read = || self.record(volume, &backup.backup, backup.generation);
        let (record, (checksums, map)) = both(read, || both(|| front(TableKind::Checksums), || front(TableKind::Map)));
        let Some(Record::Backup(manifest)) = record? else {
            return Err(RepositoryError::UnknownBackup {
                name: format!("{volume}/{}", backup.backup),
                url: self.url(),
            });
        };
        let key = manifest.key();
        self.ensure(manifest.reference() == *backup, &key, "manifest", || {
            "it names other tables than expected".to_owned()
        })?;
        let table = |kind, front: Result<Vec<u8>>| Table::with_front(self, &manifest, kind, front?);
        let (checksums, map) = both(|| table(TableKind::Checksums, checksums), || table(TableKind::Map, map));
        Ok(OpenedBackup { repository: self.clone(), manifest, checksums, map })
    }
}

impl OpenedBackup {
    /// Returns the index of the blocks. Fails if one of the tables could not be opened.
    pub fn into_index(self) -> Result<BlockIndex> {
        let (checksums, map) = (CachedTable::of(self.checksums?), CachedTable::of(self.map?));
        BlockIndex::with_tables(&self.repository, self.manifest, checksums, map)
    }

    /// Reads both tables at the same time and returns the manifest. After a chunk is verified, each function gets its
    /// first entry's number and its packed entries, in order. Chunks that are all zero are skipped.
    pub fn load<E: From<RepositoryError> + Send>(
        self,
        checksums: impl FnMut(u64, &[u8]) -> Result<(), E> + Send,
        map: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<Manifest, E> {
        let (checksum_table, map_table) = (self.checksums?, self.map?);
        let (checksums, map) = both(|| checksum_table.stream(checksums), || map_table.stream(map));
        checksums.and(map).map(|()| self.manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    #[test]
    fn a_backup_is_opened_as_it_was_found_or_not_at_all() {
        let mut sample = Sample::new();
        let found = sample.backup("b1", None, &[1, 0, 2]);
        let (repository, volume) = (sample.repository.clone(), sample.volume.clone());
        let opened = repository.open_backup(&volume, &found.reference()).unwrap();
        assert_eq!(opened.manifest, found);
        assert!(opened.into_index().unwrap().locate(0).unwrap().is_some());
        let other = sample.backup("b2", None, &[3]);
        let mixed = BackupRef { map: other.map, ..found.reference() };
        assert!(repository.open_backup(&volume, &mixed).err().unwrap().is_damage());
        crate::reclaim::delete(&repository, &volume, &found.backup).unwrap();
        let gone = repository.open_backup(&volume, &found.reference()).err().unwrap();
        assert!(matches!(gone, RepositoryError::UnknownBackup { .. }), "{gone}");
    }

    #[test]
    fn a_damaged_table_leaves_the_manifest() {
        let mut sample = Sample::new();
        let found = sample.backup("b1", None, &[1, 0, 2]);
        sample.remove("vol/b1/map-0");
        let opened = sample.repository.open_backup(&sample.volume, &found.reference()).unwrap();
        assert_eq!(opened.manifest, found);
        assert!(opened.into_index().err().unwrap().is_damage());
    }

    #[test]
    fn both_tables_are_loaded_and_an_error_of_either_comes_back() {
        let mut sample = Sample::new();
        let found = sample.backup("b1", None, &[1, 0, 2]);
        let open = || sample.repository.open_backup(&sample.volume, &found.reference()).unwrap();
        let (mut hashes, mut places) = (0, 0);
        let count = |count: &mut usize, entries: &[u8]| {
            *count += entries.len();
            Ok::<_, RepositoryError>(())
        };
        open().load(|_, entries| count(&mut hashes, entries), |_, entries| count(&mut places, entries)).unwrap();
        assert_eq!((hashes, places), (3 * 32, 3 * 12));
        let fail = |_: u64, _: &[u8]| Err(RepositoryError::InvalidName("enough".to_owned()));
        assert_eq!(open().load(fail, |_, _| Ok(())).unwrap_err().to_string(), "enough");
        assert_eq!(open().load(|_, _| Ok(()), fail).unwrap_err().to_string(), "enough");
    }
}
