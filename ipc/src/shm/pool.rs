//! A pool of slots from its owner's point of view.
//!
//! Its memory is allocated when it is used. Up to the pool's initial size, memory is allocated at once. Beyond that, it
//! is allocated only after a take has waited for a slot, and it is freed when it is no longer needed. The reason: data
//! that waits for a distant store lies either in the reader's pool or in the compressor's, depending on how well it
//! compresses. When both pools always had room for all of it, a backup to S3 took a hundred MiB more.

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

/// How much memory is allocated or freed at a time, bytes.
const CHUNK_BYTES: usize = HUGE_BYTES;
/// How much memory a pool's first growth allocates, bytes. It takes a millisecond.
const STEP_BYTES: usize = 8 << 20;
/// How much of the grown memory may stay free for longer than `SPARE_TIME`, bytes.
const SPARE_BYTES: usize = 16 << 20;
/// A busy server often answers many requests at once, and then none for a second. When free memory was given back at
/// once, it was freed and allocated all the time, and clearing it took a sixth of a backup's CPU.
const SPARE_TIME: Duration = Duration::from_secs(2);
/// How long a take waits for a slot before the pool grows.
const PATIENCE: Duration = Duration::from_millis(10);

/// Shared memory that this process owns. Only this process allocates from it.
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
    /// It knows only the units that have memory.
    allocator: Allocator,
    growth: Growth,
    /// Whether the last attempt to get more memory succeeded.
    may_grow: bool,
    /// Since when more than `SPARE_BYTES` have been free.
    too_much_since: Option<Instant>,
    /// How many takes wait for a slot. Notifying nobody would still be a system call.
    waiting: usize,
}

impl Pool {
    /// Creates a pool of at least `bytes`, counted in units of `unit_bytes` (a multiple of 4096).
    ///
    /// # Errors
    /// There are no huge pages for it, and `/dev/shm` has no room for it.
    pub fn create(agent: AgentKind, unit_bytes: u32, bytes: u64) -> Result<Arc<Self>, Failure> {
        Self::create_in(Blank::new(&agent.to_string()), agent, unit_bytes, bytes..=bytes)
    }

    /// The same in an object that was opened earlier. The pool starts with the lower bound of `bytes` and grows to the
    /// upper bound on demand.
    pub(crate) fn create_in(
        blank: Blank,
        agent: AgentKind,
        unit_bytes: u32,
        bytes: RangeInclusive<u64>,
    ) -> Result<Arc<Self>, Failure> {
        let (first, most) = bytes.into_inner();
        let unreasonable =
            || Failure::shared_memory(format!("a pool cannot have {most} bytes in units of {unit_bytes}"));
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

    /// The line that announces the pool to other agents.
    pub fn line(&self) -> &PoolLine {
        &self.line
    }

    /// The object, to be sent to other agents.
    pub fn object(&self) -> BorrowedFd<'_> {
        self.object.as_fd()
    }

    /// The size of the pool before it grows, bytes.
    pub fn bytes(&self) -> u64 {
        self.in_bytes(self.state().growth.first())
    }

    /// The largest size that the pool had, bytes.
    pub fn bytes_most(&self) -> u64 {
        self.in_bytes(self.state().growth.most())
    }

    /// The largest size that the pool had since the last call of this function, bytes.
    pub fn bytes_most_lately(&self) -> u64 {
        self.in_bytes(self.state().growth.most_lately())
    }

    /// How much was in use after each take: the mean and the maximum, bytes.
    pub fn used_bytes(&self) -> (u64, u64) {
        let (used, unit) = (self.state().allocator.used(), u64::from(self.line.unit_bytes));
        (used.sum * unit / used.takes.max(1), u64::from(used.most) * unit)
    }

    /// The number of slots in use.
    pub fn taken(&self) -> usize {
        self.state().allocator.taken()
    }

    /// Takes a slot of at least `bytes`. If none is free, it grows the pool; if the pool can't grow, it waits for a slot.
    /// A handler calls this through its `Worker`, so that the framework knows about the wait.
    ///
    /// # Errors
    /// `bytes` is more than the whole pool, or the host has no memory for the pool's initial size.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Result<NewSlot, Failure> {
        match self.try_take(bytes)? {
            Some(slot) => Ok(slot),
            None => self.take_later(self.units(bytes)?),
        }
    }

    /// Takes a slot of at least `bytes` if one is free now.
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
                // There may be enough for other takes that wait.
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

    /// Waits for a slot to come back. Returns false when the pool should grow instead.
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> (MutexGuard<'a, State>, bool) {
        if !state.may_grow || state.growth.missing().is_none() {
            return (self.given_back.wait(state).unwrap_or_else(PoisonError::into_inner), true);
        }
        let (state, waited) = self.given_back.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner);
        (state, !waited.timed_out())
    }

    /// Takes back a released slot.
    ///
    /// # Errors
    /// No such slot is in use: it was released twice, or its id is invented.
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

    /// Allocates one more chunk of the pool's initial size. Returns false if all of it is allocated.
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

    /// Allocates more memory, at least `units` if possible. Returns false if none is left.
    fn grow(&self, state: &mut State, units: u32) -> bool {
        // The growth doubles each time, so that a distant store soon gets the room that it needs.
        let grown = state.growth.there().saturating_sub(state.growth.first());
        let before = state.growth.there();
        let wanted = before + units.max(in_units(STEP_BYTES, self.unit_bytes())).max(grown);
        while state.growth.there() < wanted
            && state.may_grow
            && let Some(chunk) = state.growth.missing()
        {
            // A host without more memory is not a failure: the slots in use will come back.
            state.may_grow = self.grow_by(state, chunk).is_ok();
        }
        state.growth.there() > before
    }

    /// Frees memory that the pool has grown by, if too much of it has been free for too long.
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

    /// The byte range of these units.
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
            .ok_or_else(|| Failure::shared_memory("the slot ends beyond its pool"))?;
        let id = SlotId { pool: self.line.name, unit: start };
        Ok(NewSlot::new(id, region, Arc::clone(self) as Arc<dyn Home>))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each operation leaves the allocator consistent, so a panic elsewhere does not corrupt it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Home for Pool {
    fn take_back(&self, id: SlotId) {
        // The slot was taken from this pool and is given back once, so this can't fail.
        let _ = self.give_back(id);
    }

    fn cut(&self, id: SlotId, bytes: usize) -> Option<(SlotId, usize)> {
        let keep = u32::try_from(bytes.div_ceil(self.unit_bytes())).ok()?;
        let unit = self.state().allocator.split(id.unit, keep)?;
        Some((SlotId { unit, ..id }, (unit - id.unit) as usize * self.unit_bytes()))
    }
}

/// The number of units of `unit_bytes` that hold `bytes`, at least one.
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
        assert!(failure.to_string().contains("no space in /dev/shm for 4 MiB"), "{failure}");
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
