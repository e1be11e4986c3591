//! Statistics of a socket's input: how many messages were ready at a time, and how long there was nothing to read.
//!
//! The cost is two clock reads for each wait, which is a system call anyway, and none for a message.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Counts what a [`Receiver`](super::wire::Receiver) reads. Any thread may read the counters.
#[derive(Debug, Default)]
pub struct Intake {
    reads: AtomicU64,
    lines: AtomicU64,
    lines_most: AtomicU64,
    waited_us: AtomicU64,
}

impl Intake {
    /// Counts the lines that one read returned.
    pub(crate) fn read(&self, bytes: &[u8]) {
        let lines = bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.reads.fetch_add(1, Relaxed);
        self.lines.fetch_add(lines, Relaxed);
        self.lines_most.fetch_max(lines, Relaxed);
    }

    /// Runs a wait for more input and counts its time.
    pub(crate) fn waiting<T>(&self, wait: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = wait();
        self.waited_us.fetch_add(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX), Relaxed);
        result
    }

    /// The number of messages that have come.
    pub fn lines(&self) -> u64 {
        self.lines.load(Relaxed)
    }

    /// The mean number of messages that were ready at a read.
    pub fn queue_mean(&self) -> f64 {
        self.lines() as f64 / self.reads.load(Relaxed).max(1) as f64
    }

    /// The largest number of messages that were ready at a read.
    pub fn queue_most(&self) -> u64 {
        self.lines_most.load(Relaxed)
    }

    /// How long there was nothing to read, µs.
    pub fn waited_us(&self) -> u64 {
        self.waited_us.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lay_ready_is_counted_in_lines() {
        let intake = Intake::default();
        intake.read(b"one\ntwo\nthree\nhal");
        intake.read(b"f\n");
        assert_eq!((intake.lines(), intake.queue_mean(), intake.queue_most()), (4, 2.0, 3));
    }
}
