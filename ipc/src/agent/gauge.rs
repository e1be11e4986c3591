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
    blocked_us: AtomicU64,
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
            blocked_us: AtomicU64::new(0),
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

    pub(super) fn busy_us(&self) -> u64 {
        self.busy_us.load(Relaxed) + self.stuck_us()
    }

    pub(super) fn blocked_us(&self) -> u64 {
        self.blocked_us.load(Relaxed)
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

/// Runs what only waits for other agents (for a free slot, for room in a socket): such time is
/// not counted as work, and never as being stuck.
pub fn waiting<T>(wait: impl FnOnce() -> T) -> T {
    let current = CURRENT.with_borrow(Clone::clone);
    let Some((gauge, hooks)) = current else { return wait() };
    gauge.leave();
    hooks.before_wait();
    let start = gauge.now_us();
    let result = wait();
    gauge.blocked_us.fetch_add(gauge.now_us() - start, Relaxed);
    gauge.enter();
    result
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
