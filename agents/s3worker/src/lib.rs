//! `septet-s3worker` deletes: first the manifests of the backups that shall go, then whatever no
//! backup that is left needs any more.
//!
//! The order is what makes it safe: without its manifest a backup does not exist, so a deletion
//! that dies half-way leaves only objects that nobody names, and the next one finds them. What may
//! go is decided in `septet_repository::reclaim`.

use septet_format::{Manifest, keys};
use septet_ipc::{Agent, AgentKind, Begin, Context, DeleteJob, Failure, Message, Output, Work};
use septet_repository::{Repository, reclaim};

/// Objects in one request: as many as S3 takes.
const KEYS_PER_REQUEST: usize = 1000;

/// The agent: the repository, and what shall go.
pub struct S3worker {
    repository: Repository,
    job: DeleteJob,
}

impl Agent for S3worker {
    const KIND: AgentKind = AgentKind::S3worker;

    fn begin(begin: &mut Begin, _: &Context) -> Result<Self, Failure> {
        let Begin::Delete(job) = begin else {
            return Err(Failure::protocol("s3worker has a place in a deletion only"));
        };
        Ok(Self { repository: Repository::open(&job.repo).map_err(Failure::store)?, job: job.clone() })
    }

    fn workers(&self) -> usize {
        2
    }

    fn handle(&self, _: Work, _: &dyn Output) -> Result<(), Failure> {
        Err(Failure::protocol("s3worker has nothing to do with extents"))
    }

    fn message(&self, message: Message, output: &dyn Output) -> Result<(), Failure> {
        match message {
            Message::Scan => self.scan(output),
            Message::Delete(keys) => {
                self.repository.store().delete(&keys).map_err(Failure::store)?;
                output.tell(Message::Deleted(keys))
            }
            other => output.tell(other),
        }
    }
}

impl S3worker {
    /// Ends the backups' existence, and answers with all that has become garbage by it.
    fn scan(&self, output: &dyn Output) -> Result<(), Failure> {
        let doomed = self.doomed()?;
        let manifests: Vec<String> =
            self.job.backups.iter().map(|backup| keys::manifest(&self.job.volume, backup)).collect();
        self.repository.store().delete(&manifests).map_err(Failure::store)?;
        let survey = reclaim::Survey::take(&self.repository, &self.job.volume).map_err(Failure::store)?;
        let garbage = reclaim::plan(&survey, &doomed);
        let mut batches = 0;
        for keys in garbage.chunks(KEYS_PER_REQUEST) {
            output.tell(Message::Garbage(keys.to_vec()))?;
            batches += 1;
        }
        output.tell(Message::Scanned(batches))
    }

    /// The manifests that shall go, as far as they can still be read.
    fn doomed(&self) -> Result<Vec<Manifest>, Failure> {
        let mut doomed = Vec::new();
        for backup in &self.job.backups {
            match self.repository.manifest(&self.job.volume, backup) {
                Ok(manifest) => doomed.push(manifest),
                // A damaged manifest names nothing; a missing one was deleted by an earlier run.
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(Failure::store(error)),
            }
        }
        Ok(doomed)
    }
}
