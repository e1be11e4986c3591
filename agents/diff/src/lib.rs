//! `septet-diff` drops the blocks that are the same as in the parent.
//!
//! The parent's checksums come as a table in shared memory, so this agent needs neither the store nor the network.
//! During the backup the metawriter turns that same table into the new backup's checksums. This halves the memory. It
//! is safe, because a block's entry is written only after its command has passed here, and every block passes once.

use std::sync::OnceLock;

use septet_format::{BlockHash, CHECKSUM_ENTRY_BYTES};
use septet_ipc::message::TableKind;
use septet_ipc::{Agent, AgentKind, Begin, Context, Failure, State, Table, Work, Worker};

const ENTRY_BYTES: usize = CHECKSUM_ENTRY_BYTES as usize;

/// The agent: the parent's checksums, if there is a parent.
pub struct Diff {
    block_bytes: u64,
    checksums: OnceLock<Table>,
}

impl Agent for Diff {
    const KIND: AgentKind = AgentKind::Diff;
    const NEEDS_NOTHING: bool = true;

    fn begin(begin: &mut Begin, _: &Context) -> Result<Self, Failure> {
        let Begin::Backup(job) = begin else {
            return Err(Failure::protocol("diff runs only in a backup"));
        };
        if job.block_bytes == 0 {
            return Err(Failure::protocol("the block size is 0"));
        }
        Ok(Self { block_bytes: u64::from(job.block_bytes), checksums: OnceLock::new() })
    }

    fn table(&self, table: Table) -> Result<Option<Table>, Failure> {
        if table.kind() != TableKind::Checksums {
            return Ok(Some(table));
        }
        self.checksums.set(table).map_err(|_| Failure::protocol("the table of checksums was announced twice"))?;
        Ok(None)
    }

    fn handle(&self, mut work: Work, worker: &Worker<'_>) -> Result<(), Failure> {
        if let Some(hash) = work.command.hash
            && self.in_parent(work.command.offset / self.block_bytes)? == Some(hash)
        {
            work.command.state = State::Unchanged;
            work.command.hash = None;
            work.slot = None;
        }
        worker.send(work)
    }
}

impl Diff {
    fn in_parent(&self, block: u64) -> Result<Option<BlockHash>, Failure> {
        let Some(table) = self.checksums.get().filter(|table| block < table.entries()) else { return Ok(None) };
        let mut entry = [0; ENTRY_BYTES];
        table.read(block, &mut entry)?;
        Ok(Some(BlockHash::from(entry)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use septet_ipc::test_support::{backup_job, restore_job, results};
    use septet_ipc::{BackupJob, Item, Pool};

    use super::*;

    const BLOCK: u64 = 65536;

    fn begun(block_bytes: u32) -> Result<Diff, Failure> {
        let job = BackupJob {
            parent: Some(restore_job().backup),
            block_bytes,
            volume_bytes: Some(4 * BLOCK),
            ..backup_job()
        };
        Diff::begin(&mut Begin::Backup(job), &Context::new(AgentKind::Diff))
    }

    /// The agent with a parent of two blocks: zeros and `content`.
    fn agent(content: &[u8]) -> Diff {
        let agent = begun(65536).unwrap();
        let table = Table::create(TableKind::Checksums, 2).unwrap();
        table.write(1, BlockHash::of(content).as_bytes()).unwrap();
        assert!(agent.table(table).unwrap().is_none(), "it is for nobody else");
        agent
    }

    /// The result for a block with a slot, and how many slots are in use afterwards.
    fn handled(agent: &Diff, block: u64, content: &[u8]) -> (State, Option<BlockHash>, usize) {
        let pool = Pool::create(AgentKind::Reader, 4096, 4096).unwrap();
        let mut work = Work::new(block * BLOCK, BLOCK, State::Data);
        work.slot = Some(pool.take(content.len()).unwrap().filled(content.len()));
        work.command.hash = Some(BlockHash::of(content));
        let work = pass(agent, work);
        (work.command.state, work.command.hash, Arc::clone(&pool).taken())
    }

    fn pass(agent: &Diff, work: Work) -> Work {
        let mut items = results(|worker| agent.handle(work, worker)).unwrap();
        match items.pop() {
            Some(Item::Work(work)) => work,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_block_with_the_parents_hash_is_dropped_and_its_slot_is_free() {
        assert_eq!(handled(&agent(b"old"), 1, b"old"), (State::Unchanged, None, 0));
    }

    #[test]
    fn a_changed_block_passes_with_its_slot() {
        assert_eq!(handled(&agent(b"old"), 1, b"new"), (State::Data, Some(BlockHash::of(b"new")), 1));
    }

    #[test]
    fn only_the_same_block_is_compared() {
        assert_eq!(handled(&agent(b"old"), 0, b"old").0, State::Data);
        assert_eq!(handled(&agent(b"old"), 2, b"old").0, State::Data, "the volume has grown");
    }

    #[test]
    fn a_full_backup_has_nothing_to_compare_with() {
        assert_eq!(handled(&begun(65536).unwrap(), 1, b"old").0, State::Data);
    }

    #[test]
    fn what_has_no_hash_passes_as_it_is() {
        let work = pass(&agent(b"old"), Work::new(0, 1 << 40, State::Hole));
        assert_eq!((work.command.state, work.command.size), (State::Hole, 1 << 40));
    }

    #[test]
    fn a_job_or_a_table_that_can_t_be_is_refused() {
        assert!(begun(0).is_err());
        let agent = agent(b"old");
        assert!(agent.table(Table::create(TableKind::Checksums, 2).unwrap()).is_err(), "a second one");
    }

    #[test]
    fn a_table_of_another_kind_is_passed_on() {
        let other = begun(65536).unwrap().table(Table::create(TableKind::Known, 2).unwrap()).unwrap();
        assert_eq!(other.unwrap().kind(), TableKind::Known);
    }
}
