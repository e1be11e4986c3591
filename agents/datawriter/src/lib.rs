//! `septet-datawriter` gathers blocks into segments, in any order, and uploads the segments in parts, several at a
//! time.
//!
//! A part is a list of slots. The store gets it without a copy, and the slots are released when the store has taken the
//! part. The blocks of an unfinished part are at most a quarter of the pools that they come from: otherwise the ring
//! would deadlock, because the datawriter would wait for more blocks than the pools can hold. Small scattered slots can
//! still block the ring when no gap between them is large enough for a large slot. So when no block comes for a while,
//! the gathered blocks are copied and their slots released. While parts are being written, a slow store is the more
//! likely reason, so the wait is longer.

mod gather;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use septet_ipc::agent::Weight;
use septet_ipc::{Agent, AgentKind, Begin, Context, Failure, Message, Needs, State, StoreCounts, Work, Worker};
use septet_repository::SegmentSink;

use crate::gather::{Gather, Part};

/// How long no block must come while parts are being written. Writing them will release slots. With the 20 ms that
/// apply when no part is being written, a full backup to an S3 server on the same two cores had up to 183 MiB of copies
/// in memory.
const PATIENCE_WHILE_WRITING: Duration = Duration::from_secs(5);

/// The agent: where segments go, and the one being written.
pub struct Datawriter {
    segments: SegmentSink,
    parts_in_flight: usize,
    gather: Mutex<Gather>,
    /// How many parts are being written.
    writing: AtomicUsize,
}

impl Agent for Datawriter {
    const KIND: AgentKind = AgentKind::Datawriter;
    const PATIENCE: Option<Duration> = Some(Duration::from_millis(20));

    fn needs(begin: &Begin) -> Needs {
        septet_repository::needs_to_write(begin.repo())
    }

    fn store_counts(&self) -> StoreCounts {
        let segments = self.segments.clone();
        Box::new(move || segments.counts().into())
    }

    fn begin(begin: &mut Begin, _: &Context) -> Result<Self, Failure> {
        let Begin::Backup(job) = begin else {
            return Err(Failure::protocol("datawriter runs only in a backup"));
        };
        let segments = SegmentSink::open(&job.repo).map_err(Failure::store)?;
        let rules = segments.part_rules();
        let part_bytes = rules.part_bytes.min(usize::try_from(job.pool_bytes / 4).map_err(Failure::protocol)?);
        Ok(Self {
            segments,
            parts_in_flight: rules.parts_in_flight.max(1),
            gather: Mutex::new(Gather::new(job, part_bytes as u64, rules.objects_max)?),
            writing: AtomicUsize::new(0),
        })
    }

    fn workers(&self) -> usize {
        self.parts_in_flight
    }

    fn weight(&self, work: &Work) -> Weight {
        Weight::of_payload(work)
    }

    fn handle(&self, work: Work, worker: &Worker<'_>) -> Result<(), Failure> {
        if work.command.state != State::Data || work.slot.is_none() {
            return worker.send(work);
        }
        let (command, part) = self.gather().add(&self.segments, work, worker)?;
        // The other agents need only the block's place. The slot stays here until the part is written, and `end` is not
        // passed on before the segment is complete.
        worker.send(Work { command, slot: None })?;
        part.map_or(Ok(()), |part| self.write(part, worker))
    }

    fn let_go(&self) {
        let mut gather = self.gather();
        if self.writing.load(Relaxed) == 0 || gather.idle() >= PATIENCE_WHILE_WRITING {
            gather.copy_out();
        }
    }

    fn end(&self, worker: &Worker<'_>) -> Result<(), Failure> {
        let part = self.gather().seal()?;
        part.map_or(Ok(()), |part| self.write(part, worker))
    }
}

impl Datawriter {
    fn gather(&self) -> MutexGuard<'_, Gather> {
        self.gather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a part. Closes the segment if no other part is left to write.
    fn write(&self, part: Part, worker: &Worker<'_>) -> Result<(), Failure> {
        let Part { segment, number, offset_bytes, body } = part;
        worker.step_aside();
        self.writing.fetch_add(1, Relaxed);
        let written = segment.put(number, offset_bytes, body, worker);
        self.writing.fetch_sub(1, Relaxed);
        written?;
        match segment.part_done(worker)? {
            Some(done) => worker.tell(Message::Segment(done)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
