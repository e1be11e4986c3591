//! `septet-diff` drops the blocks that are as they were in the parent.
//!
//! The parent's checksums come as a table in shared memory, so it needs neither the store nor the
//! network. The metawriter turns that same table into the new backup's checksums while the backup
//! runs; that is safe, and halves the memory, because a block's entry is written only after its
//! command has passed here, and every block passes once.

use std::sync::OnceLock;

use septet_format::BlockHash;
use septet_ipc::{Agent, AgentKind, Begin, Context, Failure, Output, State, Table, Work};

const ENTRY_BYTES: u32 = 32;

/// The agent: the parent's checksums, if there is a parent.
pub struct Diff {
    block_bytes: u64,
    checksums: OnceLock<Table>,
}

impl Agent for Diff {
    const KIND: AgentKind = AgentKind::Diff;

    fn begin(begin: &mut Begin, _: &Context) -> Result<Self, Failure> {
        let Begin::Backup(job) = begin else {
            return Err(Failure::protocol("diff has a place in a backup only"));
        };
        if job.block_bytes == 0 {
            return Err(Failure::protocol("a block size of 0"));
        }
        Ok(Self { block_bytes: u64::from(job.block_bytes), checksums: OnceLock::new() })
    }

    fn table(&self, table: Table) -> Result<Option<Table>, Failure> {
        if table.line().entry_bytes != ENTRY_BYTES {
            return Err(Failure::protocol("a table of checksums has entries of 32 bytes"));
        }
        self.checksums.set(table).map_err(|_| Failure::protocol("a second table of checksums"))?;
        Ok(None)
    }

    fn handle(&self, mut work: Work, output: &dyn Output) -> Result<(), Failure> {
        if let Some(hash) = work.command.hash
            && self.in_parent(work.command.offset / self.block_bytes)? == Some(hash)
        {
            work.command.state = State::Unchanged;
            work.command.hash = None;
            work.slot = None;
        }
        output.send(work)
    }
}

impl Diff {
    fn in_parent(&self, block: u64) -> Result<Option<BlockHash>, Failure> {
        let Some(table) = self.checksums.get().filter(|table| block < table.entries()) else { return Ok(None) };
        let mut entry = [0; ENTRY_BYTES as usize];
        table.read(block, &mut entry)?;
        Ok(Some(BlockHash::from(entry)))
    }
}
