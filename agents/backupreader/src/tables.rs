//! The tables of the backup to restore, or tables that are rebuilt from the segments' indexes.
//!
//! A chunk of a table is checked when it is read, so damage may be found in the middle of a restore. With `keep_going`,
//! the tables are then rebuilt from the segments' own indexes, and the restore continues with these.

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
    /// Whether the tables have been rebuilt from the segments. Locked during the rebuild.
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

    /// Asks the tables. If one of them turns out to be damaged, rebuilds both from the segments and asks again. The
    /// outer error ends the restore.
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

    /// The current tables. The numbers of their rows do not change when they are rebuilt.
    pub(crate) fn index(&self) -> Arc<BlockIndex> {
        Arc::clone(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Rebuilds the tables from the segments' indexes, and tells the user.
fn mend(repository: &Repository, manifest: Manifest, error: &RepositoryError) -> Result<BlockIndex, Failure> {
    let mended = BlockIndex::open_mended(repository, manifest);
    let (index, what) = mended.map_err(|cause| Failure::damaged(format!("{error}; {cause}")))?;
    note(AgentKind::Backupreader, format!("{error}: its {what} was reconstructed from the indexes of the segments"));
    Ok(index)
}

/// The failure when the checksums or the map can't be used. Unlike blocks, they can be rebuilt.
fn table_failure(error: &RepositoryError) -> Failure {
    if error.is_damage() { Failure::damaged(format!("{error}; `septet rebuild` may help")) } else { failure(error) }
}

/// Converts an error, and keeps damage apart from other kinds.
pub(crate) fn failure(error: &RepositoryError) -> Failure {
    if error.is_damage() { Failure::damaged(error) } else { Failure::store(error) }
}
