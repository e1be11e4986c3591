//! What an agent asks of the framework while it begins.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use super::gauge::Gauge;
use crate::message::{AgentKind, Failure, TableKind};
use crate::shm::{Blank, Pool, Table};

/// What an agent asks of the framework while it begins.
pub struct Context {
    kind: AgentKind,
    /// What was opened for it before it was locked in; none where it is not.
    blanks: Option<Mutex<Vec<Blank>>>,
    /// None where nobody looks at it: in tests, and in the simulation.
    gauge: Option<Arc<Gauge>>,
    pools: Mutex<Vec<Arc<Pool>>>,
    tables: Mutex<Vec<Arc<Table>>>,
    announced: Mutex<Vec<Arc<Table>>>,
}

/// What an agent made while it began.
pub(super) struct Made {
    pub(super) pools: Vec<Arc<Pool>>,
    pub(super) tables: Vec<Arc<Table>>,
    pub(super) announced: Vec<Arc<Table>>,
}

impl Context {
    /// The context of an agent of `kind`, whose time nobody measures.
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

    /// The same with all the shared memory opened that there will be.
    pub(super) fn provided(kind: AgentKind, objects: usize, gauge: &Arc<Gauge>) -> Self {
        let blanks = (0..objects).map(|_| Blank::new(&kind.to_string())).collect();
        Self { blanks: Some(Mutex::new(blanks)), gauge: Some(Arc::clone(gauge)), ..Self::new(kind) }
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
    pub fn table(&self, kind: TableKind, entries: u64) -> Result<Arc<Table>, Failure> {
        let table = Arc::new(Table::create_in(self.blank()?, kind, entries)?);
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

    /// Says that a long beginning makes progress: an agent that keeps calling this, from any thread, is not stuck.
    pub fn step(&self) {
        if let Some(gauge) = &self.gauge {
            gauge.step();
        }
    }

    /// Runs a request to the volume or the store. The time is counted as I/O and not as work; a request that hangs
    /// still counts as stuck.
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
