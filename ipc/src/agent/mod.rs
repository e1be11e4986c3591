//! What an agent is, and what the framework does for it.

mod context;
mod crew;
mod gauge;
mod lock_in;
mod process;
mod runner;
mod shared;
mod turns;
mod work;
mod worker;

pub use context::Context;
pub use lock_in::{SANDBOX_VARIABLE, lock_in};
pub use process::{
    STATUS_INTERVAL, SUPERVISOR_VARIABLE, called_as, cores, cpu_ms, die_with_supervisor, note, run_process, show_name,
    spawn,
};
pub use runner::run;
pub use work::Work;
pub use worker::{Item, Output, Worker};

use std::time::Duration;

use septet_sandbox::Needs;

use crate::message::{AgentKind, Begin, Failure, Message};
use crate::shm::Table;

/// One step of a pipeline: a handler and its state. It does no plumbing.
///
/// Handlers run on several threads at once and results leave as they finish: nothing may assume
/// an order. A slot that came in with a command and is in none of the results is released.
pub trait Agent: Send + Sync + Sized + 'static {
    /// Which agent it is.
    const KIND: AgentKind;

    /// How many pools and tables it makes.
    const SHARED_OBJECTS: usize = 0;

    /// How long it keeps slots of earlier commands while no more come, if it keeps any: then it is to [let
    /// go](Agent::let_go). Else those who could send more might wait for these very slots.
    const PATIENCE: Option<Duration> = None;

    /// Whether it needs nothing beside its sockets and shared memory, whatever the job is. Then it is locked in while the
    /// job is still on its way to it, and is ready sooner.
    const NEEDS_NOTHING: bool = false;

    /// What it must be able to do for this job, beside its sockets and shared memory. It is held to that from before
    /// it begins.
    fn needs(_: &Begin) -> Needs {
        Needs::nothing()
    }

    /// Opens what the job needs, and adds to the job what only this agent knows.
    ///
    /// # Errors
    /// Whatever ends the run before it starts.
    fn begin(begin: &mut Begin, context: &Context) -> Result<Self, Failure>;

    /// How many commands it handles at once.
    fn workers(&self) -> usize {
        1
    }

    /// What it takes to handle this extent.
    fn weight(&self, _: &Work) -> Weight {
        Weight::Waits
    }

    /// Handles one extent.
    ///
    /// # Errors
    /// Whatever ends the run.
    fn handle(&self, work: Work, worker: &Worker<'_>) -> Result<(), Failure>;

    /// Handles a message that is no extent; most agents pass it on.
    ///
    /// # Errors
    /// Whatever ends the run.
    fn message(&self, message: Message, worker: &Worker<'_>) -> Result<(), Failure> {
        worker.tell(message)
    }

    /// Takes a table; handed back, it is passed on to the next agent.
    ///
    /// # Errors
    /// A table that can't be right.
    fn table(&self, table: Table) -> Result<Option<Table>, Failure> {
        Ok(Some(table))
    }

    /// Gives back all slots of earlier commands that it keeps: nothing has come for a while.
    fn let_go(&self) {}

    /// The objects that it has written to the store, and the requests that it has made for that and for all else.
    fn store_counts() -> (u64, u64) {
        (0, 0)
    }

    /// Does what is left to do when every earlier command is done, before `end` is passed on.
    ///
    /// # Errors
    /// Whatever ends the run.
    fn end(&self, _worker: &Worker<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

/// What it takes to handle an extent: when another worker is to read on meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Next to nothing: not worth another worker.
    Light,
    /// Time, but of this machine only: another worker is worth waking when there is more to do.
    Computes,
    /// It may be held up by something outside, such as a disk: another worker must read on at once.
    Waits,
}

impl Weight {
    /// Of an agent that computes over the payload, if there is one.
    pub fn of_payload(work: &Work) -> Self {
        if work.slot.is_none() { Self::Light } else { Self::Computes }
    }
}
