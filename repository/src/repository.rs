//! Opens a repository, or creates a new one.

use crate::{RepositoryError, Result};
use bytes::Bytes;
use jiff::Timestamp;
use septet_format::{FormatError, JSON_BYTES_MAX, Manifest, RepositoryInfo, keys};
use septet_store::{Access, Store, StoreErrorKind, both};
use std::sync::Arc;
use uuid::Uuid;

/// A store that contains a repository of a readable format. Cheap to clone.
#[derive(Clone)]
pub struct Repository {
    store: Arc<dyn Store>,
    id: Uuid,
}

impl Repository {
    /// Opens an existing repository by path or URL, for reading.
    pub fn open(url: &str) -> Result<Self> {
        Self::open_store(open_existing(url)?)
    }

    /// Opens an existing repository by path or URL, for writing.
    pub fn open_to_write(url: &str) -> Result<Self> {
        let store = open_existing(url)?;
        let info = existing_info(&*store)?;
        Self::to_write(store, &info)
    }

    /// Opens a repository for a backup. Creates it if the place is empty or does not exist.
    pub fn open_or_create(url: &str) -> Result<Self> {
        Self::open_or_create_store(septet_store::open(url, Access::Create)?)
    }

    /// Uses a repository after another process has checked that it has this id and has passed its URL on. Reads nothing.
    pub fn of_id(url: &str, id: Uuid) -> Result<Self> {
        Ok(Self { store: septet_store::open_handed_on(url)?, id })
    }

    /// Like [`open`](Self::open), for a store that is already open.
    pub fn open_store(store: Arc<dyn Store>) -> Result<Self> {
        let id = existing_info(&*store)?.id;
        Ok(Self { store, id })
    }

    /// Like [`open_or_create`](Self::open_or_create), for a store that is already open.
    pub fn open_or_create_store(store: Arc<dyn Store>) -> Result<Self> {
        let ((), info) = both(|| store.prepare_to_write(), || read_info(&*store));
        if let Some(info) = info? {
            return Self::to_write(store, &info);
        }
        if store.is_empty()? {
            let tool = concat!("septet ", env!("CARGO_PKG_VERSION"));
            let info = RepositoryInfo::new(Uuid::new_v4(), Timestamp::now(), tool);
            match store.put_if_absent(&keys::repository(), Bytes::from(info.encode())) {
                // Another process created the repository first, so that one is used.
                Err(error) if error.kind() == StoreErrorKind::AlreadyExists => {}
                put => return put.map(|()| Self { store, id: info.id }).map_err(Into::into),
            }
        }
        let info = read_info(&*store)?.ok_or_else(|| RepositoryError::NotARepository {
            url: store.url(),
            why: "it is not empty and has no septet.json; name an empty or a new directory",
        })?;
        Self::to_write(store, &info)
    }

    fn to_write(store: Arc<dyn Store>, info: &RepositoryInfo) -> Result<Self> {
        info.check_writable().map_err(|cause| RepositoryError::Object {
            url: store.url(),
            key: keys::repository(),
            cause,
        })?;
        Ok(Self { store, id: info.id })
    }

    /// The store with its objects. No other crate reads or writes objects directly.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The repository's own id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Returns an error if only a later version may change this backup.
    pub(crate) fn check_writable(&self, manifest: &Manifest) -> Result<()> {
        manifest.check_writable().map_err(|cause| self.object_error(&manifest.key(), cause))
    }

    /// Makes an error that names the object.
    pub(crate) fn object_error(&self, key: &str, cause: FormatError) -> RepositoryError {
        RepositoryError::Object { url: self.store.url(), key: key.to_owned(), cause }
    }

    /// Like `object_error`, for a table or a segment. If it claims another format than the whole repository, it is
    /// damaged, and no upgrade helps.
    pub(crate) fn inner_object_error(&self, key: &str, cause: FormatError) -> RepositoryError {
        match cause {
            FormatError::NewerVersion { what, found } => {
                self.damaged(key, what, format!("it has format {found}, and the repository has another"))
            }
            cause => self.object_error(key, cause),
        }
    }

    /// Makes an error for a damaged object.
    pub(crate) fn damaged(&self, key: &str, what: &'static str, why: impl Into<String>) -> RepositoryError {
        self.object_error(key, FormatError::Damaged { what, why: why.into() })
    }

    /// Returns an error for a damaged object unless `good`.
    pub(crate) fn ensure(&self, good: bool, key: &str, what: &'static str, why: impl FnOnce() -> String) -> Result<()> {
        if good { Ok(()) } else { Err(self.damaged(key, what, why())) }
    }
}

fn open_existing(url: &str) -> Result<Arc<dyn Store>> {
    septet_store::open(url, Access::Existing).map_err(|error| match error.kind() {
        StoreErrorKind::NotFound => RepositoryError::NotARepository {
            url: url.to_owned(),
            why: "nothing exists there; the first backup creates a repository",
        },
        _ => error.into(),
    })
}

fn existing_info(store: &dyn Store) -> Result<RepositoryInfo> {
    read_info(store)?.ok_or_else(|| RepositoryError::NotARepository {
        url: store.url(),
        why: "it has no septet.json; the first backup creates a repository in an empty directory",
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    #[test]
    fn an_empty_or_absent_directory_becomes_a_repository_and_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().join("absent/below"), folder.path().join("empty")] {
            let url = path.to_str().unwrap();
            assert!(matches!(Repository::open(url), Err(RepositoryError::NotARepository { .. })));
            std::fs::create_dir_all(folder.path().join("empty/lost+found")).unwrap();
            let made = Repository::open_or_create(url).unwrap();
            assert_eq!(Repository::open_or_create(url).unwrap().id(), made.id());
            assert_eq!(Repository::open(url).unwrap().id(), made.id());
        }
    }

    #[test]
    fn somebody_elses_directory_is_not_filled() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".bashrc"), "").unwrap();
        let url = folder.path().to_str().unwrap();
        for opened in [Repository::open(url), Repository::open_or_create(url)] {
            let error = opened.err().unwrap().to_string();
            assert!(error.contains("is not a Septet repository: it"), "{error}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn of_many_creators_one_wins_and_all_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().join("new");
        let open = || Repository::open_or_create(url.to_str().unwrap()).unwrap().id();
        let ids: Vec<Uuid> = std::thread::scope(|scope| {
            let creators: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            creators.into_iter().map(|creator| creator.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]));
    }

    #[test]
    fn a_newer_or_damaged_repository_is_refused() {
        let sample = Sample::new();
        let refused = |content: &str| {
            sample.write("septet.json", content.as_bytes());
            let url = sample.repository.store().url();
            let error = Repository::open(&url).err().unwrap().to_string();
            assert_eq!(Repository::open_or_create(&url).err().unwrap().to_string(), error);
            error
        };
        assert!(refused(r#"{"format":2,"shape":"new"}"#).contains("upgrade septet"));
        assert!(refused("{").contains("damaged"));
    }

    #[test]
    fn a_repository_that_only_a_later_version_may_change_is_read_and_not_written() {
        let sample = Sample::new();
        let info = String::from_utf8(sample.read("septet.json")).unwrap();
        let (reading, writing) = info.split_once("needs_to_write").unwrap();
        let later = [reading, "needs_to_write", &writing.replacen('[', "[\"colours\",", 1)].concat();
        assert_ne!(info, later);
        sample.write("septet.json", later.as_bytes());
        let url = sample.repository.store().url();
        assert_eq!(Repository::open(&url).unwrap().id(), sample.repository.id());
        for opened in [Repository::open_to_write(&url), Repository::open_or_create(&url)] {
            let error = opened.err().unwrap().to_string();
            assert!(error.contains("colours") && error.contains("upgrade septet"), "{error}");
        }
    }
}
