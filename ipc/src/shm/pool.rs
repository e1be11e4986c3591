//! A pool of slots, as its owner has it.
//!
//! Its memory comes when it is used. Up to the pool's least size it comes at once; beyond that only for who has waited
//! for a slot, and it is given back when it is not needed any more: what waits for a store that is far away lies in the
//! reader's pool or in the compressor's, as the data is. With room for all of it in both, always, a backup to S3 took a
//! hundred MiB more.

use std::ops::{Range, RangeInclusive};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::allocator::Allocator;
use super::blank::{failure, release, reserve};
use super::growth::Growth;
use super::mapping::{Mapping, Region};
use super::slot::{Home, NewSlot};
use super::{ALIGN_BYTES, Blank, HUGE_BYTES};
use crate::message::Failure;
use crate::message::PoolLine;
use crate::message::{AgentKind, PoolName, SlotId};

/// How much memory comes and goes at a time, bytes.
const CHUNK_BYTES: usize = HUGE_BYTES;
/// By how much a pool grows at first, bytes, which takes a millisecond.
const STEP_BYTES: usize = 8 << 20;
/// How much memory that it has grown by may be free in a pool for longer than `SPARE_TIME`, bytes.
const SPARE_BYTES: usize = 16 << 20;
/// A server that is busy often answers many requests at once, and then none for a second. Given back at once, memory
/// came and went all the time, and clearing it took a sixth of a backup's CPU.
const SPARE_TIME: Duration = Duration::from_secs(2);
/// How long somebody waits for a slot before the pool grows.
const PATIENCE: Duration = Duration::from_millis(10);

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
    /// Knows the units that have memory, and no others.
    allocator: Allocator,
    growth: Growth,
    /// Whether more memory could be had whenever it was wanted.
    may_grow: bool,
    /// Since when more than a spare has been free.
    too_much_since: Option<Instant>,
    /// How many wait for a slot: to notify nobody would still be a system call.
    waiting: usize,
}

impl Pool {
    /// Makes a pool of at least `bytes`, counted in units of `unit_bytes` (a multiple of 4096).
    ///
    /// # Errors
    /// When it has no huge pages, and `/dev/shm` no room for it.
    pub fn create(agent: AgentKind, unit_bytes: u32, bytes: u64) -> Result<Arc<Self>, Failure> {
        Self::create_in(Blank::new(&agent.to_string()), agent, unit_bytes, bytes..=bytes)
    }

    /// The same in an object that was opened before, with the fewest of the `bytes` at first and the most as they are
    /// needed.
    pub(crate) fn create_in(
        blank: Blank,
        agent: AgentKind,
        unit_bytes: u32,
        bytes: RangeInclusive<u64>,
    ) -> Result<Arc<Self>, Failure> {
        let (first, most) = bytes.into_inner();
        let unreasonable =
            || Failure::shared_memory(format!("a pool of {most} bytes in units of {unit_bytes} can't be"));
        if unit_bytes == 0 || !(unit_bytes as usize).is_multiple_of(ALIGN_BYTES) {
            return Err(unreasonable());
        }
        let units = u32::try_from(most.div_ceil(u64::from(unit_bytes)).max(1)).map_err(|_| unreasonable())?;
        let first_units =
            u32::try_from(first.div_ceil(u64::from(unit_bytes)).max(1)).map_or(units, |first| first.min(units));
        let length = |units: u32| usize::try_from(u64::from(units) * u64::from(unit_bytes));
        let name = PoolName { agent, pid: std::process::id() };
        let mut growth = Growth::new(first_units, units, in_units(CHUNK_BYTES, unit_bytes as usize));
        let (object, mapping, has_first) = blank
            .sized(length(growth.first()).map_err(|_| unreasonable())?, length(units).map_err(|_| unreasonable())?)?;
        let mut allocator = Allocator::default();
        while has_first && let Some(chunk) = growth.missing_of_first() {
            growth.came(&chunk);
            allocator.add(chunk);
        }
        let state = State { allocator, growth, may_grow: true, too_much_since: None, waiting: 0 };
        Ok(Arc::new(Self {
            line: PoolLine { name, unit_bytes, units },
            object,
            mapping,
            state: Mutex::new(state),
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

    /// How many bytes it has at the least, when they are used.
    pub fn bytes(&self) -> u64 {
        self.in_bytes(self.state().growth.first())
    }

    /// How many bytes it had at the most.
    pub fn bytes_most(&self) -> u64 {
        self.in_bytes(self.state().growth.most())
    }

    /// How many bytes it had at the most since this was asked last.
    pub fn bytes_most_lately(&self) -> u64 {
        self.in_bytes(self.state().growth.most_lately())
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

    /// Takes a slot of at least `bytes`; if there is none now, of memory that the pool grows by, or else when there is
    /// one. A handler does this by its `Worker`, so that the framework knows that it waits.
    ///
    /// # Errors
    /// When `bytes` is more than the whole pool, or the host has no memory for what the pool must have.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Result<NewSlot, Failure> {
        match self.try_take(bytes)? {
            Some(slot) => Ok(slot),
            None => self.take_later(self.units(bytes)?),
        }
    }

    /// Takes a slot of at least `bytes` if there is one now.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn try_take(self: &Arc<Self>, bytes: usize) -> Result<Option<NewSlot>, Failure> {
        let units = self.units(bytes)?;
        let mut state = self.state();
        let start = loop {
            match state.allocator.take(units) {
                Some(start) => break Some(start),
                None if self.grow_to_first(&mut state)? => {}
                None => break None,
            }
        };
        drop(state);
        start.map(|start| self.slot(start, units)).transpose()
    }

    fn take_later(self: &Arc<Self>, units: u32) -> Result<NewSlot, Failure> {
        let mut state = self.state();
        let mut patient = true;
        let start = loop {
            if let Some(start) = state.allocator.take(units) {
                break start;
            }
            if !std::mem::replace(&mut patient, true) && self.grow(&mut state, units) {
                // There is enough for others who wait.
                self.given_back.notify_all();
                continue;
            }
            state.waiting += 1;
            (state, patient) = self.wait(state);
            state.waiting -= 1;
        };
        drop(state);
        self.slot(start, units)
    }

    /// Waits for a slot that comes home; false when it is time to grow instead.
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> (MutexGuard<'a, State>, bool) {
        if !state.may_grow || state.growth.missing().is_none() {
            return (self.given_back.wait(state).unwrap_or_else(PoisonError::into_inner), true);
        }
        let (state, waited) = self.given_back.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner);
        (state, !waited.timed_out())
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
        self.shrink(&mut state);
        if state.waiting > 0 {
            self.given_back.notify_all();
        }
        Ok(())
    }

    /// Gets memory for one more chunk of those that the pool must have; false if it has them all.
    fn grow_to_first(&self, state: &mut State) -> Result<bool, Failure> {
        let Some(chunk) = state.growth.missing_of_first() else { return Ok(false) };
        self.grow_by(state, chunk)
            .map_err(|errno| failure(&self.line.name.to_string(), self.in_bytes(state.growth.first()), errno))?;
        Ok(true)
    }

    fn grow_by(&self, state: &mut State, chunk: Range<u32>) -> Result<(), Errno> {
        reserve(self.object(), &self.mapping, self.range(&chunk))?;
        state.growth.came(&chunk);
        state.allocator.add(chunk);
        Ok(())
    }

    /// Gets memory for some more units, at least for so many if there can be; false if there is none.
    fn grow(&self, state: &mut State, units: u32) -> bool {
        // Twice as much each time: a store that is far away is soon given what it needs.
        let grown = state.growth.there().saturating_sub(state.growth.first());
        let before = state.growth.there();
        let wanted = before + units.max(in_units(STEP_BYTES, self.unit_bytes())).max(grown);
        while state.growth.there() < wanted
            && state.may_grow
            && let Some(chunk) = state.growth.missing()
        {
            // A host that has no more is no failure: what is in use comes back.
            state.may_grow = self.grow_by(state, chunk).is_ok();
        }
        state.growth.there() > before
    }

    /// Gives memory back that it has grown by, if too much of it has been free for long.
    fn shrink(&self, state: &mut State) {
        if !self.has_too_much(state) {
            state.too_much_since = None;
            return;
        }
        if state.too_much_since.get_or_insert_with(Instant::now).elapsed() < SPARE_TIME {
            return;
        }
        while self.has_too_much(state)
            && let Some(chunk) = state.growth.last_within(state.allocator.free_from_the_end())
            && release(self.object(), self.range(&chunk)).is_ok()
        {
            state.growth.went(&chunk);
            state.allocator.withdraw(chunk);
        }
    }

    fn has_too_much(&self, state: &State) -> bool {
        let needed = state.allocator.used().now + in_units(SPARE_BYTES, self.unit_bytes());
        state.growth.there() > state.growth.first().max(needed)
    }

    /// Where these units lie.
    fn range(&self, units: &Range<u32>) -> Range<usize> {
        units.start as usize * self.unit_bytes()..units.end as usize * self.unit_bytes()
    }

    fn in_bytes(&self, units: u32) -> u64 {
        u64::from(units) * u64::from(self.line.unit_bytes)
    }

    fn unit_bytes(&self) -> usize {
        self.line.unit_bytes as usize
    }

    fn units(&self, bytes: usize) -> Result<u32, Failure> {
        let units = bytes.div_ceil(self.unit_bytes()).max(1);
        u32::try_from(units).ok().filter(|&units| units <= self.line.units).ok_or_else(|| {
            Failure::shared_memory(format!("{bytes} bytes are more than the whole pool {} holds", self.line.name))
        })
    }

    fn slot(self: &Arc<Self>, start: u32, units: u32) -> Result<NewSlot, Failure> {
        let region = Region::new(&self.mapping, self.range(&(start..start + units)))
            .ok_or_else(|| Failure::shared_memory("a slot beyond its pool"))?;
        let id = SlotId { pool: self.line.name, unit: start };
        Ok(NewSlot::new(id, region, Arc::clone(self) as Arc<dyn Home>))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each operation leaves the allocator whole, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Home for Pool {
    fn take_back(&self, id: SlotId) {
        // It was taken from this very pool and is given back once, so this can't fail.
        let _ = self.give_back(id);
    }

    fn cut(&self, id: SlotId, bytes: usize) -> Option<(SlotId, usize)> {
        let keep = u32::try_from(bytes.div_ceil(self.unit_bytes())).ok()?;
        let unit = self.state().allocator.split(id.unit, keep)?;
        Some((SlotId { unit, ..id }, (unit - id.unit) as usize * self.unit_bytes()))
    }
}

/// So many bytes in units of `unit_bytes`, at least one.
fn in_units(bytes: usize, unit_bytes: usize) -> u32 {
    u32::try_from(bytes / unit_bytes).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use rustix::fs::fstat;

    use super::*;
    use crate::shm::huge::object_on_tmpfs;

    const MIB: u64 = 1 << 20;

    fn pool(blank: Blank) -> Arc<Pool> {
        Pool::create_in(blank, AgentKind::Reader, 1 << 20, 4 * MIB..=64 * MIB).unwrap()
    }

    fn memory_mib(pool: &Pool) -> u64 {
        u64::try_from(fstat(pool.object()).unwrap().st_blocks).unwrap() * 512 / MIB
    }

    /// Takes `count` slots of 1 MiB and writes to each.
    fn take(pool: &Arc<Pool>, count: u8) -> Vec<NewSlot> {
        let slot = |number| {
            let mut slot = pool.take(1 << 20).unwrap();
            slot.bytes_mut().fill(number);
            slot
        };
        (0..count).map(slot).collect()
    }

    #[test]
    fn a_pool_grows_while_slots_are_wanted_and_gives_back_what_is_too_much() {
        let pool = pool(Blank::new("reader"));
        assert_eq!(pool.bytes(), 4 * MIB);
        let mut slots = take(&pool, 64);
        assert!(slots.iter_mut().zip(0..).all(|(slot, number)| slot.bytes_mut().iter().all(|&byte| byte == number)));
        assert!(pool.try_take(1).unwrap().is_none(), "there is room for 64 and no more");
        let (mut kept, last) = (slots.remove(30), slots.remove(40));
        drop(slots);
        assert_eq!(memory_mib(&pool), 64, "somebody may soon want it");
        std::thread::sleep(SPARE_TIME);
        drop(last);
        assert_eq!(memory_mib(&pool), 16);
        assert_eq!([pool.bytes_most_lately(), pool.bytes_most_lately()], [64 * MIB, 16 * MIB]);
        assert!(kept.bytes_mut().iter().all(|&byte| byte == 30), "what is in use stays");
        drop(kept);
        assert_eq!(take(&pool, 64).len(), 64, "it grows again");
    }

    #[test]
    fn on_a_tmpfs_of_its_own_a_pool_has_no_more_memory_than_is_used() {
        let pool = pool(Blank::huge(object_on_tmpfs("huge", "always").expect("the right to make a tmpfs")));
        assert_eq!(memory_mib(&pool), 0);
        drop(take(&pool, 2));
        assert_eq!(memory_mib(&pool), 2);
        let at_once = pool.try_take(4 << 20).unwrap();
        assert!(at_once.is_some(), "nobody waits for what a pool must have");
        assert_eq!(memory_mib(&pool), 4);
    }

    #[test]
    fn a_host_without_the_memory_that_a_pool_must_have_fails_it() {
        let pool = pool(Blank::huge(object_on_tmpfs("size", "2m").expect("the right to make a tmpfs")));
        let _slots = take(&pool, 2);
        let failure = pool.take(1 << 20).unwrap_err();
        assert!(failure.to_string().contains("no room in /dev/shm for 4 MiB"), "{failure}");
    }

    #[test]
    fn who_waits_for_a_large_slot_gets_memory_in_one_piece() {
        let pool = pool(Blank::new("reader"));
        let _small = take(&pool, 3);
        assert_eq!(pool.take(24 << 20).unwrap().bytes_mut().len(), 24 << 20);
    }

    #[test]
    fn a_host_that_has_no_more_memory_has_what_it_had() {
        let pool = pool(Blank::of(object_on_tmpfs("size", "12m").expect("the right to make a tmpfs")));
        let mut slots = take(&pool, 12);
        let waiting = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| pool.take(1 << 20).unwrap().bytes_mut().len());
            std::thread::sleep(2 * PATIENCE);
            assert!(!waiting.is_finished());
            drop(slots.pop());
            waiting.join().unwrap()
        });
        assert_eq!((waiting, memory_mib(&pool)), (1 << 20, 12));
    }
}
