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

pub use context::{Context, StoreCounts};
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

/// One step of a pipeline: a handler and its state. The framework does all the plumbing.
///
/// Handlers run on several threads at once, and results leave as they finish, so an agent must not assume any order. If
/// a command's slot is in none of the results, the framework releases it.
pub trait Agent: Send + Sync + Sized + 'static {
    /// Which agent this is.
    const KIND: AgentKind;

    /// How many pools and tables it creates.
    const SHARED_OBJECTS: usize = 0;

    /// If the agent keeps slots of earlier commands: how long it keeps them while no command arrives. After that the
    /// framework calls [let_go](Agent::let_go). Otherwise upstream agents may be blocked waiting for the slots this
    /// agent holds.
    const PATIENCE: Option<Duration> = None;

    /// Whether the agent needs only its sockets and shared memory, whatever the job is. If so, it is locked in before
    /// the job arrives, and is ready sooner.
    const NEEDS_NOTHING: bool = false;

    /// What the agent needs for this job beside its sockets and shared memory. It is restricted to that before it
    /// begins.
    fn needs(_: &Begin) -> Needs {
        Needs::nothing()
    }

    /// Opens what the job needs, and adds the fields of the job that only this agent knows.
    ///
    /// # Errors
    /// Any failure that ends the run before it starts.
    fn begin(begin: &mut Begin, context: &Context) -> Result<Self, Failure>;

    /// How many commands it handles at once.
    fn workers(&self) -> usize {
        1
    }

    /// What it costs to handle this extent.
    fn weight(&self, _: &Work) -> Weight {
        Weight::Waits
    }

    /// Handles one extent.
    ///
    /// # Errors
    /// Any failure that ends the run.
    fn handle(&self, work: Work, worker: &Worker<'_>) -> Result<(), Failure>;

    /// Handles a message that is not an extent. Most agents pass it on.
    ///
    /// # Errors
    /// Any failure that ends the run.
    fn message(&self, message: Message, worker: &Worker<'_>) -> Result<(), Failure> {
        worker.tell(message)
    }

    /// Takes a table. If the agent returns it, the framework passes it on to the next agent.
    ///
    /// # Errors
    /// The table is not valid for this job.
    fn table(&self, table: Table) -> Result<Option<Table>, Failure> {
        Ok(Some(table))
    }

    /// Releases all slots of earlier commands that the agent keeps. Called when no command has come for a while.
    fn let_go(&self) {}

    /// Counts what the agent's store has written and sent. It outlives the agent, which may still send requests when it is
    /// dropped.
    fn store_counts(&self) -> StoreCounts {
        Box::new(|| (0, 0))
    }

    /// Does the remaining work when every earlier command is done, before `end` is passed on.
    ///
    /// # Errors
    /// Any failure that ends the run.
    fn end(&self, _worker: &Worker<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

/// What it costs to handle an extent. It decides when another worker takes over reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Almost nothing: not worth waking another worker.
    Light,
    /// CPU time of this machine only: worth waking another worker if more commands are ready.
    Computes,
    /// It may block on something outside, such as a disk: another worker must read on at once.
    Waits,
}

impl Weight {
    /// The weight in an agent that computes over the payload: light if there is no payload.
    pub fn of_payload(work: &Work) -> Self {
        if work.slot.is_none() { Self::Light } else { Self::Computes }
    }
}
