//! What an agent is, and what the framework does for it.

mod crew;
mod gauge;
mod lock_in;
mod process;
mod runner;
mod shared;
mod turns;
mod work;

pub use gauge::{outside, pass_on, step, step_aside, waiting};
pub use lock_in::{SANDBOX_VARIABLE, lock_in};
pub use process::{STATUS_INTERVAL, cpu_ms, run_process, spawn};
pub use runner::run;
pub use work::Work;

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use septet_sandbox::Needs;

use crate::message::AgentKind;
use crate::message::Begin;
use crate::message::Event;
use crate::message::Failure;
use crate::message::Message;
use crate::shm::{Blank, Pool, Table};

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
    fn handle(&self, work: Work, output: &dyn Output) -> Result<(), Failure>;

    /// Handles a message that is no extent; most agents pass it on.
    ///
    /// # Errors
    /// Whatever ends the run.
    fn message(&self, message: Message, output: &dyn Output) -> Result<(), Failure> {
        output.tell(message)
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
    fn end(&self, _output: &dyn Output) -> Result<(), Failure> {
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

/// Where a handler's results go.
pub trait Output: Sync {
    /// Sends an extent, and the responsibility for its slot, to the next agent.
    ///
    /// # Errors
    /// When the next agent has gone.
    fn send(&self, work: Work) -> Result<(), Failure>;

    /// Sends any other message to the next agent.
    ///
    /// # Errors
    /// When the next agent has gone.
    fn tell(&self, message: Message) -> Result<(), Failure>;
}

/// Something that an agent hands on: what a test collects.
#[derive(Debug)]
pub enum Item {
    /// An extent.
    Work(Work),
    /// Any other message.
    Message(Message),
}

impl Output for Mutex<Vec<Item>> {
    fn send(&self, work: Work) -> Result<(), Failure> {
        self.lock().unwrap_or_else(PoisonError::into_inner).push(Item::Work(work));
        Ok(())
    }

    fn tell(&self, message: Message) -> Result<(), Failure> {
        self.lock().unwrap_or_else(PoisonError::into_inner).push(Item::Message(message));
        Ok(())
    }
}

/// What an agent asks of the framework while it begins.
pub struct Context {
    kind: AgentKind,
    /// What was opened for it before it was locked in; none where it is not.
    blanks: Option<Mutex<Vec<Blank>>>,
    pools: Mutex<Vec<Arc<Pool>>>,
    tables: Mutex<Vec<Arc<Table>>>,
    announced: Mutex<Vec<Arc<Table>>>,
}

impl Context {
    /// The context of an agent of `kind`.
    pub fn new(kind: AgentKind) -> Self {
        Self { kind, blanks: None, pools: Mutex::default(), tables: Mutex::default(), announced: Mutex::default() }
    }

    /// The same with all the shared memory opened that there will be.
    fn provided(kind: AgentKind, objects: usize) -> Self {
        let blanks = (0..objects).map(|_| Blank::new(&kind.to_string())).collect();
        Self { blanks: Some(Mutex::new(blanks)), ..Self::new(kind) }
    }

    fn blank(&self) -> Result<Blank, Failure> {
        let Some(blanks) = &self.blanks else { return Ok(Blank::new(&self.kind.to_string())) };
        let blank = blanks.lock().unwrap_or_else(PoisonError::into_inner).pop();
        blank.ok_or_else(|| Failure::shared_memory(format!("{} makes more than it said it would", self.kind)))
    }

    /// Makes a pool of this agent's own and announces it downstream. It has the fewest of these `bytes` at first, and
    /// grows to the most as it is used.
    ///
    /// # Errors
    /// When `/dev/shm` has no room for the first.
    pub fn pool(&self, unit_bytes: u32, bytes: RangeInclusive<u64>) -> Result<Arc<Pool>, Failure> {
        let pool = Pool::create_in(self.blank()?, self.kind, unit_bytes, bytes)?;
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&pool));
        Ok(pool)
    }

    /// Makes a table of zeros.
    ///
    /// # Errors
    /// When `/dev/shm` can't be used, or the table is too large to be.
    pub fn table(&self, name: &str, entry_bytes: u32, entries: u64) -> Result<Arc<Table>, Failure> {
        let table = Arc::new(Table::create_in(self.blank()?, name, entry_bytes, entries)?);
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&table));
        Ok(table)
    }

    /// Announces a table to the agents that follow.
    pub fn announce(&self, table: &Arc<Table>) {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(table));
    }

    /// The tables that were announced so far.
    pub fn announced(&self) -> Vec<Arc<Table>> {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn into_parts(self) -> Made {
        let take = |tables: Mutex<Vec<Arc<Table>>>| tables.into_inner().unwrap_or_else(PoisonError::into_inner);
        Made {
            pools: self.pools.into_inner().unwrap_or_else(PoisonError::into_inner),
            tables: take(self.tables),
            announced: take(self.announced),
        }
    }
}

/// What an agent made while it began.
struct Made {
    pools: Vec<Arc<Pool>>,
    tables: Vec<Arc<Table>>,
    announced: Vec<Arc<Table>>,
}

/// Tells the user something that is no failure.
pub fn note(agent: AgentKind, text: impl Into<String>) {
    Event::Note { agent, text: text.into() }.emit();
}

/// As many threads as there are cores that this process may use. It is found out once: a process that is locked in
/// can no longer look at all that limits them.
pub fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}
