//! Commits a backup.

use crate::contents::Under;
use crate::{Repository, Result, pending};
use bytes::Bytes;
use septet_format::{MANIFEST_BYTES_MAX, Manifest};
use septet_store::StoreErrorKind;

impl Repository {
    /// Commits a backup after everything it names has been stored. If the key of its generation is taken, another run
    /// has committed or has ended this attempt. The error says which run.
    pub fn commit(&self, manifest: &Manifest) -> Result<()> {
        let key = manifest.key();
        manifest.check().map_err(|cause| self.object_error(&key, cause))?;
        self.ensure(manifest.repository == self.id(), &key, "manifest", || {
            "it belongs to another repository".to_owned()
        })?;
        let body = manifest.encode();
        let why = || format!("it would have {} bytes, more than can be read: use a larger block size", body.len());
        self.ensure(body.len() <= MANIFEST_BYTES_MAX, &key, "manifest", why)?;
        match self.store().put_if_absent(&key, Bytes::from(body)) {
            Err(error) if error.kind() == StoreErrorKind::AlreadyExists => {
                let Manifest { volume, backup, generation, .. } = manifest;
                let under = Under::list(self, volume, backup)?;
                Err(pending::ended_by(self, volume, backup, *generation, &under)?)
            }
            put => Ok(put?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RepositoryError;
    use crate::sample::Sample;
    use uuid::Uuid;

    #[test]
    fn a_backup_is_committed_once_and_only_here() {
        let mut sample = Sample::new();
        let manifest = sample.backup("b1", None, &[1]);
        let error = sample.repository.commit(&manifest).unwrap_err();
        assert!(matches!(error, RepositoryError::BackupExists { .. }), "{error}");
        let foreign = Manifest { repository: Uuid::new_v4(), ..manifest.clone() };
        assert!(sample.repository.commit(&foreign).is_err());
        let nonsense = Manifest { backup: "b2".parse().unwrap(), block_bytes: 7, ..manifest };
        assert!(sample.repository.commit(&nonsense).is_err());
        assert_eq!(sample.repository.backups(&sample.volume).unwrap().manifests.len(), 1);
    }
}
