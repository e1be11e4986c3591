//! Opening a repository, making a new one, and committing a backup to it.

use crate::{RepositoryError, Result};
use bytes::Bytes;
use jiff::Timestamp;
use septet_format::{FormatError, JSON_BYTES_MAX, Manifest, RepositoryInfo, keys};
use septet_store::{Access, Store, StoreErrorKind};
use std::sync::Arc;
use uuid::Uuid;

/// A store that is known to be a repository of a format that we read. Cheap to clone.
#[derive(Clone)]
pub struct Repository {
    store: Arc<dyn Store>,
    info: RepositoryInfo,
}

impl Repository {
    /// Opens a repository that is there, by path or URL.
    pub fn open(url: &str) -> Result<Self> {
        let nothing = |why| RepositoryError::NotARepository { url: url.to_owned(), why };
        let store = septet_store::open(url, Access::Existing).map_err(|error| match error.kind() {
            StoreErrorKind::NotFound => nothing("there is nothing at this place; the first backup makes one"),
            _ => error.into(),
        })?;
        Self::open_store(store)
    }

    /// Opens a repository, or makes one in a place that is empty or not there yet.
    pub fn open_or_create(url: &str) -> Result<Self> {
        Self::open_or_create_store(septet_store::open(url, Access::Create)?)
    }

    /// The same as [`open`](Self::open) for a store that is open already.
    pub fn open_store(store: Arc<dyn Store>) -> Result<Self> {
        let info = read_info(&*store)?.ok_or_else(|| RepositoryError::NotARepository {
            url: store.url(),
            why: "it has no septet.json; the first backup makes one in an empty directory",
        })?;
        Ok(Repository { store, info })
    }

    /// The same as [`open_or_create`](Self::open_or_create) for a store that is open already.
    pub fn open_or_create_store(store: Arc<dyn Store>) -> Result<Self> {
        if read_info(&*store)?.is_none() && store.is_empty()? {
            let tool = concat!("septet ", env!("CARGO_PKG_VERSION"));
            let info = RepositoryInfo::new(Uuid::new_v4(), Timestamp::now(), tool);
            match store.put_if_absent(&keys::repository(), Bytes::from(info.encode())) {
                // Somebody else was faster: theirs is the repository.
                Err(error) if error.kind() == StoreErrorKind::AlreadyExists => {}
                put => put?,
            }
        }
        let info = read_info(&*store)?.ok_or_else(|| RepositoryError::NotARepository {
            url: store.url(),
            why: "it is not empty and has no septet.json; give an empty directory or a new one",
        })?;
        Ok(Repository { store, info })
    }

    /// Where its objects lie.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The repository's own id.
    pub fn id(&self) -> Uuid {
        self.info.id
    }

    /// What it says about itself.
    pub fn info(&self) -> &RepositoryInfo {
        &self.info
    }

    /// Makes a backup exist, once everything it names is there. `BackupExists` if the id is taken.
    pub fn commit(&self, manifest: &Manifest) -> Result<()> {
        let key = keys::manifest(&manifest.volume, &manifest.backup);
        manifest.check().map_err(|cause| self.object_error(&key, cause))?;
        self.ensure(manifest.repository == self.id(), &key, "manifest", || "it is another repository's".to_owned())?;
        match self.store.put_if_absent(&key, Bytes::from(manifest.encode())) {
            Err(error) if error.kind() == StoreErrorKind::AlreadyExists => Err(RepositoryError::BackupExists {
                volume: manifest.volume.clone(),
                backup: manifest.backup.clone(),
                why: "exists already",
            }),
            put => Ok(put?),
        }
    }

    /// Says which object it is that is wrong.
    pub(crate) fn object_error(&self, key: &str, cause: FormatError) -> RepositoryError {
        RepositoryError::Object { url: self.store.url(), key: key.to_owned(), cause }
    }

    /// Refuses an object as damaged unless `good`.
    pub(crate) fn ensure(
        &self,
        good: bool,
        key: &str,
        what: &'static str,
        why: impl FnOnce() -> String,
    ) -> Result<()> {
        if good {
            return Ok(());
        }
        Err(self.object_error(key, FormatError::Damaged { what, why: why() }))
    }
}

fn read_info(store: &dyn Store) -> Result<Option<RepositoryInfo>> {
    let key = keys::repository();
    match store.get(&key, JSON_BYTES_MAX as u64) {
        Err(error) if error.kind() == StoreErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
        Ok(bytes) => match RepositoryInfo::decode(&bytes) {
            Ok(info) => Ok(Some(info)),
            Err(cause) => Err(RepositoryError::Object { url: store.url(), key, cause }),
        },
    }
}
