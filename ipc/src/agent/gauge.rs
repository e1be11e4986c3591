//! Measures what each worker does and since when. The supervisor needs it to detect a stuck agent, and the user needs
//! it to see the bottleneck.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// The time that one worker has spent, and the start of its current command.
#[derive(Debug)]
pub(super) struct Gauge {
    start: Instant,
    commands: AtomicU64,
    busy_us: AtomicU64,
    /// Included in `busy_us`.
    io_us: AtomicU64,
    slot_us: AtomicU64,
    input_us: AtomicU64,
    /// When the current stretch of work began: µs after `start`, plus one. 0 means not at work.
    since_us: AtomicU64,
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

    /// Runs a handler and counts its time.
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

    /// The age of this worker, µs.
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

    /// Runs a wait for the next command and counts its time.
    pub(super) fn idle<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.timed(&self.input_us, wait)
    }

    /// Runs a wait for a slot and counts its time. The wait ends when other agents release slots, so it counts neither
    /// as work nor as stuck.
    pub(super) fn waiting_for_slot<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.leave();
        let result = self.timed(&self.slot_us, wait);
        self.enter();
        result
    }

    /// Runs a request to the volume or the store and counts its time. It is counted separately from work, but it can be
    /// stuck.
    pub(super) fn outside<T>(&self, request: impl FnOnce() -> T) -> T {
        self.timed(&self.io_us, request)
    }

    /// Reports progress of the current command. Any thread that works for the command may call it.
    pub(super) fn step(&self) {
        let now = self.now_us();
        self.count_busy(self.since_us.swap(now, Relaxed), now);
    }

    fn timed<T>(&self, sum: &AtomicU64, work: impl FnOnce() -> T) -> T {
        let start = self.now_us();
        let result = work();
        sum.fetch_add(self.now_us() - start, Relaxed);
        result
    }

    /// How long the worker has been at its command without a wait or a step, µs. More than 0 while it is at one: a
    /// worker that reports progress all the time must not look like one that waits for others.
    pub(super) fn stuck_us(&self) -> u64 {
        match self.since_us.load(Relaxed) {
            0 => 0,
            since => self.now_us().saturating_sub(since).max(1),
        }
    }

    fn enter(&self) {
        self.since_us.store(self.now_us(), Relaxed);
    }

    fn leave(&self) {
        self.count_busy(self.since_us.swap(0, Relaxed), self.now_us());
    }

    fn count_busy(&self, since: u64, now: u64) {
        if since > 0 {
            self.busy_us.fetch_add(now.saturating_sub(since), Relaxed);
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX - 1) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_takes_steps_is_at_work_and_an_idle_one_is_not() {
        let gauge = Gauge::new();
        assert_eq!(gauge.stuck_us(), 0);
        gauge.at_work(|| {
            for _ in 0..1000 {
                gauge.step();
                assert!(gauge.stuck_us() > 0);
            }
        });
        assert_eq!((gauge.stuck_us(), gauge.commands()), (0, 1));
    }
}
