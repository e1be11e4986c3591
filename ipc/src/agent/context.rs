//! What an agent can ask the framework for while it starts.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use super::gauge::Gauge;
use crate::message::{AgentKind, Failure, TableKind};
use crate::shm::{Blank, Pool, Table};

/// What an agent can ask the framework for while it starts.
pub struct Context {
    kind: AgentKind,
    /// The objects that were opened for it before the process was locked in. None if it is not locked in.
    blanks: Option<Mutex<Vec<Blank>>>,
    /// None if nobody reads the times: in tests and in the simulation.
    gauge: Option<Arc<Gauge>>,
    pools: Mutex<Vec<Arc<Pool>>>,
    tables: Mutex<Vec<Arc<Table>>>,
    announced: Mutex<Vec<Arc<Table>>>,
}

/// What an agent created while it started.
pub(super) struct Made {
    pub(super) pools: Vec<Arc<Pool>>,
    pub(super) tables: Vec<Arc<Table>>,
    pub(super) announced: Vec<Arc<Table>>,
}

/// Returns the number of objects written to a store, and the number of all requests made to it.
pub type StoreCounts = Box<dyn Fn() -> (u64, u64) + Send + Sync>;

impl Context {
    /// The context of an agent of `kind` whose time is not measured.
    pub fn new(kind: AgentKind) -> Self {
        Self {
            kind,
            blanks: None,
            gauge: None,
            pools: Mutex::default(),
            tables: Mutex::default(),
            announced: Mutex::default(),
        }
    }

    /// The same, but all shared-memory objects that the agent will create are already open.
    pub(super) fn provided(kind: AgentKind, objects: usize, gauge: &Arc<Gauge>) -> Self {
        let blanks = (0..objects).map(|_| Blank::new(&kind.to_string())).collect();
        Self { blanks: Some(Mutex::new(blanks)), gauge: Some(Arc::clone(gauge)), ..Self::new(kind) }
    }

    fn blank(&self) -> Result<Blank, Failure> {
        let Some(blanks) = &self.blanks else { return Ok(Blank::new(&self.kind.to_string())) };
        let blank = blanks.lock().unwrap_or_else(PoisonError::into_inner).pop();
        blank.ok_or_else(|| {
            Failure::shared_memory(format!("{} creates more shared memory than it announced", self.kind))
        })
    }

    /// Creates a pool that this agent owns, and announces it downstream. The pool starts with the lower bound of
    /// `bytes` and can grow to the upper bound.
    ///
    /// # Errors
    /// `/dev/shm` has no room for the lower bound.
    pub fn pool(&self, unit_bytes: u32, bytes: RangeInclusive<u64>) -> Result<Arc<Pool>, Failure> {
        let pool = Pool::create_in(self.blank()?, self.kind, unit_bytes, bytes)?;
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&pool));
        Ok(pool)
    }

    /// Creates a table of zeros.
    ///
    /// # Errors
    /// `/dev/shm` can't be used, or the table would be too large.
    pub fn table(&self, kind: TableKind, entries: u64) -> Result<Arc<Table>, Failure> {
        let table = Arc::new(Table::create_in(self.blank()?, kind, entries)?);
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&table));
        Ok(table)
    }

    /// Announces a table to the downstream agents.
    pub fn announce(&self, table: &Arc<Table>) {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(table));
    }

    /// The tables that were announced so far.
    pub fn announced(&self) -> Vec<Arc<Table>> {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reports that a long start makes progress. An agent that keeps calling this, from any thread, is not stuck.
    pub fn step(&self) {
        if let Some(gauge) = &self.gauge {
            gauge.step();
        }
    }

    /// Runs a request to the volume or the store. Its time counts as I/O and not as work. A request that hangs still
    /// counts as stuck.
    pub fn outside<T>(&self, request: impl FnOnce() -> T) -> T {
        match &self.gauge {
            Some(gauge) => gauge.outside(request),
            None => request(),
        }
    }

    pub(super) fn into_made(self) -> Made {
        let take = |tables: Mutex<Vec<Arc<Table>>>| tables.into_inner().unwrap_or_else(PoisonError::into_inner);
        Made {
            pools: self.pools.into_inner().unwrap_or_else(PoisonError::into_inner),
            tables: take(self.tables),
            announced: take(self.announced),
        }
    }
}
