//! The connections to a server, and the limit on concurrent requests.
//!
//! A lane is a single-threaded runtime with the connections that belong to it. Each request borrows a lane. The thread
//! that makes the request also serves the lane. So data that was read is still in the CPU's cache when it is copied, and
//! no other thread has to wake up. The lane that was used last is borrowed first, because the server is least likely to
//! have closed its connection.

use std::cell::Cell;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Runtime;

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// The number of the lane that this thread serves.
pub(super) fn current() -> usize {
    CURRENT.get()
}

/// All lanes to one server.
pub(super) struct Lanes {
    max: usize,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    free: Vec<Lane>,
    made: usize,
}

struct Lane {
    number: usize,
    runtime: Runtime,
}

/// A lane in use. Dropping it returns the lane, also after a panic.
struct Borrowed<'lanes> {
    lanes: &'lanes Lanes,
    lane: Option<Lane>,
}

impl Lanes {
    /// At most `max` lanes, numbered from 0. Each is made when it is first needed.
    pub(super) fn new(max: usize) -> Self {
        Self { max, state: Mutex::default(), returned: Condvar::new() }
    }

    /// Waits for a lane, then makes a request there.
    pub(super) fn run<T>(&self, request: impl AsyncFnOnce() -> T) -> io::Result<T> {
        let borrowed = self.borrow()?;
        Ok(borrowed.run(request))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn borrow(&self) -> io::Result<Borrowed<'_>> {
        let mut state = self.state();
        loop {
            if let Some(lane) = state.free.pop() {
                return Ok(Borrowed { lanes: self, lane: Some(lane) });
            }
            if state.made < self.max {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let lane = Lane { number: state.made, runtime };
                state.made += 1;
                return Ok(Borrowed { lanes: self, lane: Some(lane) });
            }
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Borrowed<'_> {
    fn run<T>(&self, request: impl AsyncFnOnce() -> T) -> T {
        #[expect(clippy::expect_used, reason = "only `drop` takes it")]
        let lane = self.lane.as_ref().expect("a lane");
        CURRENT.set(lane.number);
        lane.runtime.block_on(request())
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.lanes.state().free.extend(self.lane.take());
        self.lanes.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::time::Duration;

    #[test]
    fn no_more_requests_are_under_way_than_there_may_be_lanes() {
        let lanes = Lanes::new(3);
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let request = async || {
            most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::time::sleep(Duration::from_millis(2)).await;
            running.fetch_sub(1, SeqCst);
            current()
        };
        let numbers: BTreeSet<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..40).map(|_| scope.spawn(|| lanes.run(request).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!((most.into_inner(), numbers), (3, BTreeSet::from([0, 1, 2])));
    }

    #[test]
    fn one_request_after_another_uses_one_lane() {
        let lanes = Lanes::new(3);
        assert_eq!([(); 5].map(|()| lanes.run(async || current()).unwrap()), [0; 5]);
    }

    #[test]
    fn a_lane_is_free_again_after_a_panic() {
        let lanes = Lanes::new(1);
        let panicked = std::thread::scope(|scope| scope.spawn(|| lanes.run(async || panic!("in a request"))).join());
        assert!(panicked.is_err());
        assert_eq!(lanes.run(async || 1).unwrap(), 1);
    }
}
