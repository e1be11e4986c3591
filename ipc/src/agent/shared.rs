//! What all threads of an agent share: its sockets, its pools and its counters.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::context::{Made, StoreCounts};
use super::gauge::Gauge;
use super::process::cpu_ms;
use super::turns::Turns;
use super::work::Work;
use super::worker::Output;
use crate::message::Intake;
use crate::message::Message;
use crate::message::{AgentKind, SlotId};
use crate::message::{Event, Status};
use crate::message::{Failure, FailureKind};
use crate::message::{Receiver, Sender};
use crate::shm::{Attached, Pool, Releases, Slot, Table};

/// When queued results reach this many bytes, they are written before the handler is done.
const GATHER_BYTES_MAX: usize = 2048;

/// What all threads of an agent share.
pub(super) struct Shared {
    pub(super) kind: AgentKind,
    /// Counts of the agent's store. Set when the agent has started.
    pub(super) store_counts: OnceLock<StoreCounts>,
    pub(super) downstream: Sender,
    pub(super) releases: Arc<Releases>,
    pub(super) attached: Attached,
    /// Counts what comes from upstream. Set when the first reader starts.
    pub(super) intake: OnceLock<Arc<Intake>>,
    /// The turn to read from upstream.
    pub(super) turns: Turns<Receiver>,
    own_pools: RwLock<Vec<Arc<Pool>>>,
    own_tables: RwLock<Vec<Arc<Table>>>,
    /// One for each worker.
    gauges: RwLock<Vec<Arc<Gauge>>>,
}

impl Shared {
    pub(super) fn new(kind: AgentKind, downstream: Sender, upstream: Sender) -> Arc<Self> {
        let releases = Releases::new(Arc::new(upstream));
        let attached = Attached::new(Arc::clone(&releases));
        Arc::new(Self {
            kind,
            store_counts: OnceLock::new(),
            downstream,
            releases,
            attached,
            intake: OnceLock::new(),
            turns: Turns::new(),
            own_pools: RwLock::default(),
            own_tables: RwLock::default(),
            gauges: RwLock::default(),
        })
    }

    /// Registers what the agent created while it started.
    pub(super) fn own(&self, made: &Made) {
        self.own_pools.write().unwrap_or_else(PoisonError::into_inner).extend(made.pools.iter().cloned());
        self.own_tables.write().unwrap_or_else(PoisonError::into_inner).extend(made.tables.iter().cloned());
    }

    /// Passes on a message that does not concern the agent.
    pub(super) fn pass(&self, message: Message, fd: Option<OwnedFd>) -> Result<(), Failure> {
        match (message, fd) {
            (Message::Pool(line), Some(fd)) => {
                self.attached.attach(&line, &fd)?;
                self.downstream.send_with_fd(&Message::Pool(line), fd.as_fd())
            }
            (Message::Error(failure), _) => {
                // The agent that failed has told the supervisor. Here the failure only passes through.
                self.downstream.send(&Message::Error(failure))?;
                Err(Failure::new(FailureKind::Peer, "an earlier agent failed"))
            }
            (other, _) => self.downstream.send(&other),
        }
    }

    /// Announces a table to the next agents.
    pub(super) fn announce(&self, table: &Table) -> Result<(), Failure> {
        self.downstream.send_with_fd(&Message::Table(table.line().clone()), table.object())
    }

    /// Frees slots of own pools, and passes the other releases on.
    pub(super) fn release(&self, ids: &[SlotId]) -> Result<(), Failure> {
        let own = self.own_pools.read().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            match own.iter().find(|pool| pool.line().name == id.pool) {
                Some(pool) => pool.give_back(*id)?,
                None => self.releases.push(*id),
            }
        }
        Ok(())
    }

    /// Writes what is queued in both directions.
    pub(super) fn flush_both(&self) -> Result<(), Failure> {
        self.downstream.flush()?;
        self.releases.flush()
    }

    /// Tells the downstream agents why no more commands come.
    pub(super) fn send_error(&self, failure: &Failure) {
        let mut failure = failure.clone();
        failure.agent.get_or_insert(self.kind);
        // The supervisor reads the failure from standard error in any case.
        let _ = self.downstream.send(&Message::Error(Box::new(failure)));
    }

    /// Ends the process from any thread. Nothing that it holds is worth keeping.
    pub(super) fn fail(&self, mut failure: Failure) -> ! {
        failure.agent.get_or_insert(self.kind);
        Event::Failed(failure.clone()).emit();
        self.send_error(&failure);
        std::process::exit(1)
    }

    /// Creates a gauge for one more worker.
    pub(super) fn gauge(&self) -> Arc<Gauge> {
        let gauge = Gauge::new();
        self.gauges.write().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&gauge));
        gauge
    }

    pub(super) fn status(&self) -> Status {
        let gauges = self.gauges.read().unwrap_or_else(PoisonError::into_inner);
        let sum = |what: fn(&Gauge) -> u64| gauges.iter().map(|gauge| what(gauge)).sum::<u64>();
        let (objects, requests) = self.store_counts.get().map_or((0, 0), |counts| counts());
        let intake = self.intake.get();
        // Takes each lock only once: if a writer waited between two read locks, both threads would block.
        let tables = self.own_tables.read().unwrap_or_else(PoisonError::into_inner);
        let pools = self.own_pools.read().unwrap_or_else(PoisonError::into_inner);
        let pool_bytes = pools.iter().map(|pool| pool.bytes_most()).sum();
        let pool_bytes_lately = pools.iter().map(|pool| pool.bytes_most_lately()).sum::<u64>();
        // No agent has more than one pool.
        let (pool_mean_bytes, pool_most_bytes) = pools.first().map_or((0, 0), |pool| pool.used_bytes());
        Status {
            agent: self.kind,
            commands: sum(Gauge::commands),
            cpu_ms: cpu_ms(),
            workers: u32::try_from(gauges.len()).unwrap_or(u32::MAX),
            worker_ms: sum(Gauge::age_us) / 1000,
            busy_ms: sum(Gauge::busy_us) / 1000,
            io_ms: sum(Gauge::io_us) / 1000,
            slot_ms: sum(Gauge::slot_us) / 1000,
            input_ms: (sum(Gauge::input_us) + intake.map_or(0, |intake| intake.waited_us())) / 1000,
            stuck_ms: gauges.iter().map(|gauge| gauge.stuck_us()).max().unwrap_or(0).div_ceil(1000),
            queue_mean: intake.map_or(0.0, |intake| intake.queue_mean()),
            queue_most: intake.map_or(0, |intake| intake.queue_most()),
            pool_mean_bytes,
            pool_most_bytes,
            pool_bytes,
            shared_bytes: pool_bytes_lately + tables.iter().map(|table| table.resident_bytes()).sum::<u64>(),
            objects,
            requests,
        }
    }
}

/// Results are queued. They are written when a handler is done or must wait, or when enough have gathered. One write
/// wakes the next agent only once for all of them.
impl Output for Shared {
    fn send(&self, work: Work) -> Result<(), Failure> {
        let Work { mut command, slot } = work;
        // From here on the slot belongs to the next agent.
        command.shm_id = slot.map(Slot::pass_on);
        self.tell(Message::Command(Box::new(command)))
    }

    fn tell(&self, message: Message) -> Result<(), Failure> {
        if self.downstream.queue(&message)? > GATHER_BYTES_MAX {
            self.downstream.flush()?;
        }
        Ok(())
    }

    fn flush(&self) {
        // The next write hits the broken socket again, and reports it.
        let _ = self.flush_both();
    }

    fn step_aside(&self) {
        self.turns.call();
    }
}

/// The failure to report when the upstream socket closes without `end`.
pub(super) fn went_away() -> Failure {
    Failure::new(FailureKind::Peer, "the previous agent closed the connection without `end`")
}
