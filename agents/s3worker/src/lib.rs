//! `septet-s3worker` deletes. First it writes a tombstone for each backup to delete. Then it removes every object that
//! no remaining backup needs.
//!
//! This order makes the deletion safe. A backup with a tombstone does not exist. So an interrupted deletion leaves only
//! objects that nothing references, and the next one finds them. `septet_repository::reclaim` decides which objects may
//! be deleted.

use septet_ipc::{Agent, AgentKind, Begin, Context, DeleteJob, Failure, Message, Needs, StoreCounts, Work, Worker};
use septet_repository::{Repository, RepositoryError, reclaim};

/// Objects in one request: the maximum of S3.
const KEYS_PER_REQUEST: usize = 1000;

/// The agent: the repository, and the backups to delete.
pub struct S3worker {
    repository: Repository,
    job: DeleteJob,
}

impl Agent for S3worker {
    const KIND: AgentKind = AgentKind::S3worker;

    fn needs(begin: &Begin) -> Needs {
        septet_repository::needs_to_write(begin.repo())
    }

    fn store_counts(&self) -> StoreCounts {
        let repository = self.repository.clone();
        Box::new(move || repository.counts().into())
    }

    fn begin(begin: &mut Begin, _: &Context) -> Result<Self, Failure> {
        let Begin::Delete(job) = begin else {
            return Err(Failure::protocol("s3worker runs only in a deletion"));
        };
        Ok(Self { repository: Repository::of_id(&job.repo, job.repository).map_err(Failure::store)?, job: job.clone() })
    }

    fn workers(&self) -> usize {
        2
    }

    fn handle(&self, _: Work, _: &Worker<'_>) -> Result<(), Failure> {
        Err(Failure::protocol("s3worker accepts no commands for extents"))
    }

    fn message(&self, message: Message, worker: &Worker<'_>) -> Result<(), Failure> {
        match message {
            Message::Scan => self.scan(worker),
            Message::Delete(keys) => {
                worker.outside(|| self.repository.delete_garbage(&keys)).map_err(failure)?;
                worker.tell(Message::Deleted(keys))
            }
            other => worker.tell(other),
        }
    }
}

impl S3worker {
    /// Ends the backups' existence. Answers with all objects that became garbage.
    fn scan(&self, worker: &Worker<'_>) -> Result<(), Failure> {
        // Backups that another run has already deleted reference nothing.
        let doomed = reclaim::delete_all(&self.repository, &self.job.volume, &self.job.backups);
        let doomed = doomed.map_err(failure)?;
        let survey = reclaim::Survey::take(&self.repository, &self.job.volume).map_err(failure)?;
        let garbage = reclaim::plan(&survey, &doomed);
        let mut batches = 0;
        for keys in garbage.chunks(KEYS_PER_REQUEST) {
            worker.tell(Message::Garbage(keys.to_vec()))?;
            batches += 1;
        }
        reclaim::expire(&self.repository, &self.job.volume, &survey).map_err(failure)?;
        worker.tell(Message::Scanned(batches))
    }
}

/// A tombstone needs room, too.
fn failure(error: RepositoryError) -> Failure {
    Failure::storing(error.is_full(), error)
}

#[cfg(test)]
mod tests {
    use septet_ipc::test_support::{delete_job, results};
    use septet_ipc::{Item, State};
    use septet_repository::{NewTable, TableKind};
    use tempfile::TempDir;

    use super::*;

    /// A repository in which `backups` have left one map each, but no manifest.
    fn agent(backups: &[&str]) -> (S3worker, TempDir) {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let repo = folder.path().to_str().unwrap().to_owned();
        let repository = Repository::open_or_create(&repo).unwrap();
        for backup in backups {
            let (volume, backup) = ("v".parse().unwrap(), backup.parse().unwrap());
            let map = NewTable { volume: &volume, backup: &backup, generation: 0, kind: TableKind::Map, entries: 0 };
            repository.put_table(map, |_, _| Ok::<_, septet_repository::RepositoryError>(()), || {}).unwrap();
        }
        let job = DeleteJob { repo, repository: repository.id(), ..delete_job() };
        (S3worker::begin(&mut Begin::Delete(job), &Context::new(AgentKind::S3worker)).unwrap(), folder)
    }

    fn answers(agent: &S3worker, message: Message) -> Vec<Message> {
        let items = results(|worker| agent.message(message, worker)).unwrap();
        items
            .into_iter()
            .map(|item| if let Item::Message(message) = item { message } else { panic!("{item:?}") })
            .collect()
    }

    #[test]
    fn a_scan_names_what_nobody_needs_and_counts_its_answers() {
        let (agent, _folder) = agent(&["a", "b"]);
        let keys = vec!["v/a/map-0".to_owned(), "v/b/map-0".to_owned()];
        assert_eq!(answers(&agent, Message::Scan), vec![Message::Garbage(keys), Message::Scanned(1)]);
    }

    #[test]
    fn a_scan_that_finds_much_answers_in_batches() {
        let names: Vec<String> = (0..=KEYS_PER_REQUEST).map(|number| format!("b{number}")).collect();
        let (agent, _folder) = agent(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let answers = answers(&agent, Message::Scan);
        let sizes: Vec<_> = answers
            .iter()
            .filter_map(|answer| if let Message::Garbage(keys) = answer { Some(keys.len()) } else { None })
            .collect();
        assert_eq!(sizes, vec![1000, 1]);
        assert_eq!(answers.last(), Some(&Message::Scanned(2)));
    }

    #[test]
    fn what_is_handed_out_is_deleted_also_if_it_has_gone_already() {
        let (agent, folder) = agent(&["b"]);
        let keys = vec!["v/b/map-0".to_owned()];
        for _ in 0..2 {
            assert_eq!(answers(&agent, Message::Delete(keys.clone())), vec![Message::Deleted(keys.clone())]);
            assert!(!folder.path().join("v/b/map-0").exists());
        }
    }

    #[test]
    fn keys_that_lead_out_of_the_repository_and_extents_are_refused() {
        let (agent, folder) = agent(&["b"]);
        let outside = folder.path().with_extension("outside");
        std::fs::write(&outside, b"precious").unwrap();
        let key = format!("../{}", outside.file_name().unwrap().to_str().unwrap());
        let refused = results(|worker| agent.message(Message::Delete(vec![key]), worker)).is_err();
        let kept = std::fs::remove_file(&outside).is_ok();
        assert!(refused && kept);
        assert!(results(|worker| agent.handle(Work::new(0, 1, State::Data), worker)).is_err());
    }
}
