//! Two requests at the same time.

use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

/// Runs both at the same time, so that two requests take the time of one. Runs one after the other if no thread can be
/// started.
pub fn both<A: Send, B>(first: impl FnOnce() -> A + Send, second: impl FnOnce() -> B) -> (A, B) {
    both_in(Builder::new(), first, second)
}

fn both_in<A: Send, B>(thread: Builder, first: impl FnOnce() -> A + Send, second: impl FnOnce() -> B) -> (A, B) {
    // A thread that can't be started drops its closure. So the closure owns only a reference to what it runs.
    let first = Mutex::new(Some(first));
    #[expect(clippy::expect_used, reason = "the thread takes it, or, if it was never started, the caller does")]
    let run_first = || first.lock().unwrap_or_else(PoisonError::into_inner).take().expect("it runs once")();
    std::thread::scope(|scope| match thread.spawn_scoped(scope, run_first) {
        Ok(started) => {
            let second = second();
            (started.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), second)
        }
        Err(_) => (run_first(), second()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn both_run_at_the_same_time() {
        let barrier = Barrier::new(2);
        assert_eq!(both(|| (barrier.wait(), 1).1, || (barrier.wait(), 2).1), (1, 2));
    }

    #[test]
    fn without_a_thread_they_run_in_turn() {
        // No address space has room for such a stack.
        let impossible = Builder::new().stack_size(1 << 60);
        let here = std::thread::current().id();
        let (first, second) = both_in(impossible, || std::thread::current().id(), || 2);
        assert_eq!((first, second), (here, 2));
    }
}
