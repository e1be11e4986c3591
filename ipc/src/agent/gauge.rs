//! Who is at work and since when: what a supervisor needs to see a stuck agent, and a user to see
//! what binds.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// The time that one worker spends, and the command that it is at.
#[derive(Debug)]
pub(super) struct Gauge {
    start: Instant,
    commands: AtomicU64,
    busy_us: AtomicU64,
    /// A part of `busy_us`.
    io_us: AtomicU64,
    slot_us: AtomicU64,
    input_us: AtomicU64,
    /// When the current stretch of work began, µs after `start`, plus one; 0: not at work.
    since_us: AtomicU64,
}

/// The gauge of a worker, and what it does for the others.
type Worker = (Arc<Gauge>, Arc<dyn Hooks>);

thread_local! {
    /// The worker that this thread is.
    static CURRENT: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// What a worker does lest the others wait for it.
pub(super) trait Hooks: Send + Sync {
    /// Sends what is ready.
    fn before_wait(&self);
    /// Lets another worker read on.
    fn step_aside(&self);
}

impl Gauge {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            commands: AtomicU64::new(0),
            busy_us: AtomicU64::new(0),
            io_us: AtomicU64::new(0),
            slot_us: AtomicU64::new(0),
            input_us: AtomicU64::new(0),
            since_us: AtomicU64::new(0),
        })
    }

    /// Makes this thread the gauge's worker.
    pub(super) fn adopt(self: &Arc<Self>, hooks: Arc<dyn Hooks>) {
        CURRENT.set(Some((Arc::clone(self), hooks)));
    }

    /// Runs a handler, timed.
    pub(super) fn at_work<T>(&self, work: impl FnOnce() -> T) -> T {
        self.enter();
        let result = work();
        self.leave();
        self.commands.fetch_add(1, Relaxed);
        result
    }

    pub(super) fn commands(&self) -> u64 {
        self.commands.load(Relaxed)
    }

    /// How long there has been this worker, µs.
    pub(super) fn age_us(&self) -> u64 {
        self.now_us()
    }

    pub(super) fn busy_us(&self) -> u64 {
        (self.busy_us.load(Relaxed) + self.stuck_us()).saturating_sub(self.io_us())
    }

    pub(super) fn io_us(&self) -> u64 {
        self.io_us.load(Relaxed)
    }

    pub(super) fn slot_us(&self) -> u64 {
        self.slot_us.load(Relaxed)
    }

    pub(super) fn input_us(&self) -> u64 {
        self.input_us.load(Relaxed)
    }

    /// Runs a wait for something to do, timed.
    pub(super) fn idle<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.timed(&self.input_us, wait)
    }

    fn timed<T>(&self, sum: &AtomicU64, work: impl FnOnce() -> T) -> T {
        let start = self.now_us();
        let result = work();
        sum.fetch_add(self.now_us() - start, Relaxed);
        result
    }

    /// How long the worker has been at its command without a wait, µs.
    pub(super) fn stuck_us(&self) -> u64 {
        match self.since_us.load(Relaxed) {
            0 => 0,
            since => self.now_us().saturating_sub(since),
        }
    }

    fn enter(&self) {
        self.since_us.store(self.now_us(), Relaxed);
    }

    fn leave(&self) {
        let since = self.since_us.swap(0, Relaxed);
        self.busy_us.fetch_add(self.now_us().saturating_sub(since), Relaxed);
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX - 1) + 1
    }
}

/// Runs what only waits for other agents to free a slot: such time is not counted as work, and never
/// as being stuck.
pub fn waiting<T>(wait: impl FnOnce() -> T) -> T {
    let current = CURRENT.with_borrow(Clone::clone);
    let Some((gauge, hooks)) = current else { return wait() };
    gauge.leave();
    hooks.before_wait();
    let result = gauge.timed(&gauge.slot_us, wait);
    gauge.enter();
    result
}

/// Passes on what was sent so far: for a handler that has sent a part of its results, and is now held up for long.
pub fn pass_on() {
    if let Some((_, hooks)) = CURRENT.with_borrow(Clone::clone) {
        hooks.before_wait();
    }
}

/// Runs what the volume or the store is asked for, and is held up by: such time is told apart from
/// work, but it can be stuck.
pub fn outside<T>(work: impl FnOnce() -> T) -> T {
    let gauge = CURRENT.with_borrow(|current| current.as_ref().map(|(gauge, _)| Arc::clone(gauge)));
    match gauge {
        Some(gauge) => gauge.timed(&gauge.io_us, work),
        None => work(),
    }
}

/// Says that a long command is getting on: a worker that keeps calling this is not stuck.
pub fn step() {
    CURRENT.with_borrow(|current| {
        if let Some((gauge, _)) = current {
            gauge.leave();
            gauge.enter();
        }
    });
}

/// Says that what the handler does now may be held up by something outside: another worker reads on.
/// Only a handler whose [`Weight`](super::Weight) says that it just computes has to.
pub fn step_aside() {
    CURRENT.with_borrow(|current| {
        if let Some((_, hooks)) = current {
            hooks.step_aside();
        }
    });
}
