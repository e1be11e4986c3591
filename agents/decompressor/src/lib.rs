//! `septet-decompressor` turns stored bytes back into blocks, and rejects every block that is not the one that was
//! backed up.
//!
//! Its input comes from outside and may be malicious. The safe LZ4 decoder decodes it into a slot of exactly the
//! block's size, and every block's BLAKE3 is checked before the next agent sees the block.

use std::sync::Arc;

use septet_format::{BlockHash, Codec};
use septet_ipc::agent::{Weight, cores};
use septet_ipc::{Agent, AgentKind, Begin, Context, Failure, Pool, Slot, State, Work, Worker};

/// The agent: the pool of decoded blocks, and what to do with a damaged one.
pub struct Decompressor {
    pool: Arc<Pool>,
    block_bytes: u64,
    on_damage: OnDamage,
    /// Whether checked blocks are sent on to be written. False for a verification.
    keep: bool,
}

#[derive(PartialEq, Eq)]
enum OnDamage {
    Fail,
    Report,
}

/// A larger pool has no benefit.
const POOL_BYTES_MAX: u64 = 32 << 20;

impl Agent for Decompressor {
    const KIND: AgentKind = AgentKind::Decompressor;
    const SHARED_OBJECTS: usize = 1;
    const NEEDS_NOTHING: bool = true;

    fn begin(begin: &mut Begin, context: &Context) -> Result<Self, Failure> {
        let (block_bytes, pool_bytes, on_damage, keep) = match begin {
            Begin::Restore(job) if job.keep_going => (job.block_bytes, job.pool_bytes, OnDamage::Report, true),
            Begin::Restore(job) => (job.block_bytes, job.pool_bytes, OnDamage::Fail, true),
            Begin::Verify(job) => (job.block_bytes, job.pool_bytes, OnDamage::Report, false),
            _ => return Err(Failure::protocol("decompressor runs only in a restore or a verification")),
        };
        let least = u64::from(block_bytes) * (cores() as u64 + 1);
        // Decoded blocks leave at once, so this pool need not hold what a distant store needs in flight.
        let pool_bytes = pool_bytes.min(POOL_BYTES_MAX).max(least);
        let pool = context.pool(block_bytes, pool_bytes..=pool_bytes)?;
        Ok(Self { pool, block_bytes: u64::from(block_bytes), on_damage, keep })
    }

    fn workers(&self) -> usize {
        cores()
    }

    fn weight(&self, work: &Work) -> Weight {
        Weight::of_payload(work)
    }

    fn handle(&self, mut work: Work, worker: &Worker<'_>) -> Result<(), Failure> {
        if let Some(stored) = work.slot.take() {
            match self.block(&work, stored, worker)? {
                Ok(block) => work.slot = self.keep.then_some(block),
                Err(reason) => self.damaged(&mut work, reason)?,
            }
            work.command.stored = None;
        }
        worker.send(work)
    }
}

impl Decompressor {
    /// The block that `stored` holds, or the reason why it is not that block.
    fn block(&self, work: &Work, stored: Slot, worker: &Worker<'_>) -> Result<Result<Slot, String>, Failure> {
        if work.command.crc32.is_some_and(|crc32| crc32 != septet_format::crc32(stored.bytes())) {
            return Ok(Err("the stored bytes do not match their CRC-32".to_owned()));
        }
        let block = match work.command.codec.unwrap_or(Codec::Raw) {
            Codec::Raw => stored,
            codec => match self.decode(codec, work, &stored, worker)? {
                Ok(block) => block,
                Err(reason) => return Ok(Err(reason)),
            },
        };
        let as_stored = work.command.hash == Some(BlockHash::of(block.bytes()));
        Ok(if as_stored { Ok(block) } else { Err("the block does not match its checksum".to_owned()) })
    }

    fn decode(
        &self,
        codec: Codec,
        work: &Work,
        stored: &Slot,
        worker: &Worker<'_>,
    ) -> Result<Result<Slot, String>, Failure> {
        if work.command.size > self.block_bytes {
            return Err(Failure::protocol(format!(
                "a block of {} bytes is larger than the block size",
                work.command.size
            )));
        }
        let len = usize::try_from(work.command.size).map_err(Failure::protocol)?;
        let mut slot = worker.take(&self.pool, len)?;
        match codec.decode(stored.bytes(), &mut slot.bytes_mut()[..len]) {
            Ok(()) => Ok(Ok(slot.filled(len))),
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    fn damaged(&self, work: &mut Work, reason: String) -> Result<(), Failure> {
        let command = &mut work.command;
        if self.on_damage == OnDamage::Fail {
            return Err(Failure::damaged(format!(
                "volume bytes {}..{} are damaged in the repository: {reason}; \
                 --keep-going skips damaged blocks and restores the rest",
                command.offset,
                command.end()
            )));
        }
        command.state = State::Damaged;
        command.reason = Some(reason);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
