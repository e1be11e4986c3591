//! A pool of slots, as its owner has it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::allocator::Allocator;
use super::mapping::{Mapping, Region};
use super::slot::{Home, NewSlot};
use super::{ALIGN_BYTES, Blank};
use crate::agent::waiting;
use crate::failure::Failure;
use crate::ids::{AgentKind, PoolName, SlotId};
use crate::message::PoolLine;

/// Shared memory that this process owns: it alone allocates from it.
#[derive(Debug)]
pub struct Pool {
    line: PoolLine,
    object: OwnedFd,
    mapping: Arc<Mapping>,
    state: Mutex<State>,
    given_back: Condvar,
}

#[derive(Debug)]
struct State {
    allocator: Allocator,
    /// How many wait for a slot: to notify nobody would still be a system call.
    waiting: usize,
}

impl Pool {
    /// Makes a pool of at least `bytes`, counted in units of `unit_bytes` (a multiple of 4096).
    ///
    /// # Errors
    /// When neither huge pages nor `/dev/shm` have room for it.
    pub fn create(agent: AgentKind, unit_bytes: u32, bytes: u64) -> Result<Arc<Self>, Failure> {
        Self::create_in(Blank::new(&agent.to_string()), agent, unit_bytes, bytes)
    }

    /// The same in an object that was opened before.
    pub(crate) fn create_in(blank: Blank, agent: AgentKind, unit_bytes: u32, bytes: u64) -> Result<Arc<Self>, Failure> {
        let unreasonable =
            || Failure::shared_memory(format!("a pool of {bytes} bytes in units of {unit_bytes} can't be"));
        if unit_bytes == 0 || !(unit_bytes as usize).is_multiple_of(ALIGN_BYTES) {
            return Err(unreasonable());
        }
        let units = u32::try_from(bytes.div_ceil(u64::from(unit_bytes)).max(1)).map_err(|_| unreasonable())?;
        let total = u64::from(units) * u64::from(unit_bytes);
        let length = usize::try_from(total).map_err(|_| unreasonable())?;
        let name = PoolName { agent, pid: std::process::id() };
        let object = blank.reserved(total)?;
        let mapping = Mapping::new(object.as_fd(), length, true)
            .map_err(|errno| Failure::shared_memory(errno).doing(format!("mapping pool {name}")))?;
        Ok(Arc::new(Self {
            line: PoolLine { name, unit_bytes, units },
            object,
            mapping,
            state: Mutex::new(State { allocator: Allocator::new(units), waiting: 0 }),
            given_back: Condvar::new(),
        }))
    }

    /// What the other agents must know of it.
    pub fn line(&self) -> &PoolLine {
        &self.line
    }

    /// The object, to be handed to the other agents.
    pub fn object(&self) -> BorrowedFd<'_> {
        self.object.as_fd()
    }

    /// How many bytes the pool holds in all.
    pub fn bytes(&self) -> u64 {
        self.mapping.bytes() as u64
    }

    /// How much of it was in use after each take, on average, and at the most, bytes.
    pub fn used_bytes(&self) -> (u64, u64) {
        let (used, unit) = (self.state().allocator.used(), u64::from(self.line.unit_bytes));
        (used.sum * unit / used.takes.max(1), u64::from(used.most) * unit)
    }

    /// How many slots are out.
    pub fn taken(&self) -> usize {
        self.state().allocator.taken()
    }

    /// Takes a slot of at least `bytes`, waiting until there is one.
    ///
    /// # Errors
    /// When `bytes` is more than the whole pool.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Result<NewSlot, Failure> {
        match self.try_take(bytes)? {
            Some(slot) => Ok(slot),
            None => waiting(|| self.take_later(self.units(bytes)?)),
        }
    }

    /// Takes a slot of at least `bytes` if there is one now.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn try_take(self: &Arc<Self>, bytes: usize) -> Result<Option<NewSlot>, Failure> {
        let units = self.units(bytes)?;
        let start = self.state().allocator.take(units);
        start.map(|start| self.slot(start, units)).transpose()
    }

    fn take_later(self: &Arc<Self>, units: u32) -> Result<NewSlot, Failure> {
        let mut state = self.state();
        let start = loop {
            if let Some(start) = state.allocator.take(units) {
                break start;
            }
            state.waiting += 1;
            state = self.given_back.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        };
        drop(state);
        self.slot(start, units)
    }

    /// Takes back a slot that came home.
    ///
    /// # Errors
    /// When no such slot is out: somebody released it twice, or made it up.
    pub fn give_back(&self, id: SlotId) -> Result<(), Failure> {
        let mut state = self.state();
        if id.pool != self.line.name || !state.allocator.give_back(id.unit) {
            return Err(Failure::protocol(format!("{id} was released, but is not in use")));
        }
        if state.waiting > 0 {
            self.given_back.notify_all();
        }
        Ok(())
    }

    /// Cuts the slot that starts at `unit` after `bytes`; the start of the rest, if there is one.
    pub(super) fn split(&self, unit: u32, bytes: usize) -> Option<u32> {
        let keep = u32::try_from(bytes.div_ceil(self.line.unit_bytes as usize)).ok()?;
        self.state().allocator.split(unit, keep)
    }

    pub(super) fn unit_bytes(&self) -> usize {
        self.line.unit_bytes as usize
    }

    fn units(&self, bytes: usize) -> Result<u32, Failure> {
        let units = bytes.div_ceil(self.unit_bytes()).max(1);
        u32::try_from(units).ok().filter(|&units| units <= self.line.units).ok_or_else(|| {
            Failure::shared_memory(format!("{bytes} bytes are more than the whole pool {} holds", self.line.name))
        })
    }

    fn slot(self: &Arc<Self>, start: u32, units: u32) -> Result<NewSlot, Failure> {
        let from = start as usize * self.unit_bytes();
        let region = Region::new(&self.mapping, from..from + units as usize * self.unit_bytes())
            .ok_or_else(|| Failure::shared_memory("a slot beyond its pool"))?;
        let id = SlotId { pool: self.line.name, unit: start };
        Ok(NewSlot::new(id, region, Home::Own(Arc::clone(self))))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each operation leaves the allocator whole, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
