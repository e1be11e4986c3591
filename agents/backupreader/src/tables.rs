//! The tables of the backup that is restored, or what the segments know in their place.
//!
//! A chunk of a table is proven when it is read, so damage of one may come to light in the middle of a restore. If
//! all that is whole is wanted, the tables are then put together from the segments' own indexes, and the restore goes
//! on with these.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use septet_format::{Geometry, Manifest};
use septet_ipc::agent::note;
use septet_ipc::{AgentKind, Failure};
use septet_repository::{BlockIndex, OpenedBackup, Repository, RepositoryError};

/// The two tables of a backup.
pub(crate) struct Tables {
    repository: Repository,
    geometry: Geometry,
    keep_going: bool,
    index: RwLock<Arc<BlockIndex>>,
    /// Whether they were put together from the segments already; held while that is done.
    mended: Mutex<bool>,
}

impl Tables {
    pub(crate) fn new(repository: &Repository, opened: OpenedBackup, keep_going: bool) -> Result<Self, Failure> {
        let manifest = opened.manifest.clone();
        let (index, mended) = match opened.into_index() {
            Err(error) if error.is_damage() && keep_going => (mend(repository, manifest, &error)?, true),
            opened => (opened.map_err(|error| table_failure(&error))?, false),
        };
        Ok(Self {
            repository: repository.clone(),
            geometry: *index.geometry(),
            keep_going,
            index: RwLock::new(Arc::new(index)),
            mended: Mutex::new(mended),
        })
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// What the tables say; if one of them turns out to be damaged, what the segments know. The outer error ends the
    /// restore.
    pub(crate) fn ask<T>(
        &self,
        question: impl Fn(&BlockIndex) -> Result<T, RepositoryError>,
    ) -> Result<Result<T, RepositoryError>, Failure> {
        let index = self.index();
        match question(&index) {
            Err(error) if error.is_damage() && index.is_of_table(&error) => {
                if !self.keep_going {
                    return Err(table_failure(&error));
                }
                self.mend(&error)?;
                Ok(question(&self.index()))
            }
            answer => Ok(answer),
        }
    }

    fn mend(&self, error: &RepositoryError) -> Result<(), Failure> {
        let mut mended = self.mended.lock().unwrap_or_else(PoisonError::into_inner);
        if !*mended {
            let index = mend(&self.repository, self.index().manifest().clone(), error)?;
            *self.index.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(index);
            *mended = true;
        }
        Ok(())
    }

    /// The tables as they are known now: their rows stay the same.
    pub(crate) fn index(&self) -> Arc<BlockIndex> {
        Arc::clone(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Puts the tables together from the segments' indexes, and says so.
fn mend(repository: &Repository, manifest: Manifest, error: &RepositoryError) -> Result<BlockIndex, Failure> {
    let mended = BlockIndex::open_mended(repository, manifest);
    let (index, what) = mended.map_err(|cause| Failure::damaged(format!("{error}; {cause}")))?;
    note(AgentKind::Backupreader, format!("{error}: its {what} was put together from the segments' own indexes"));
    Ok(index)
}

/// Checksums or map can't be used; unlike blocks, they can be made anew.
fn table_failure(error: &RepositoryError) -> Failure {
    if error.is_damage() { Failure::damaged(format!("{error}; `septet rebuild` may help")) } else { failure(error) }
}

/// Damage is told from all else that can go wrong.
pub(crate) fn failure(error: &RepositoryError) -> Failure {
    if error.is_damage() { Failure::damaged(error) } else { Failure::store(error) }
}
