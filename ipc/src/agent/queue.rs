//! The commands that wait for a worker.
//!
//! A lock and two condition variables: the channels of the libraries spin before they sleep, and
//! with seven processes on a few cores that costs more CPU than the messages themselves (a backup
//! of zeros: 1.2 times as much in all). To notify is a system call even when nobody waits, so
//! whoever waits says so first.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A bounded queue that ends when it is closed and empty.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    limit: usize,
    filled: Condvar,
    drained: Condvar,
}

struct State<T> {
    jobs: VecDeque<T>,
    closed: bool,
    /// How many wait for a job, and how many for room.
    poppers: usize,
    pushers: usize,
}

impl<T> Queue<T> {
    /// A queue in which at most `limit` wait.
    pub(super) fn new(limit: usize) -> Self {
        let state = State { jobs: VecDeque::with_capacity(limit), closed: false, poppers: 0, pushers: 0 };
        Self { state: Mutex::new(state), limit: limit.max(1), filled: Condvar::new(), drained: Condvar::new() }
    }

    /// Adds a job when there is room.
    pub(super) fn push(&self, job: T) {
        let mut state = self.lock();
        while state.jobs.len() >= self.limit {
            state.pushers += 1;
            state = self.drained.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.pushers -= 1;
        }
        state.jobs.push_back(job);
        let wanted = state.poppers > 0;
        drop(state);
        if wanted {
            self.filled.notify_one();
        }
    }

    /// The next job, if there is one now.
    pub(super) fn try_pop(&self) -> Option<T> {
        self.take(self.lock())
    }

    /// The next job, when there is one; `None` when none will come any more.
    pub(super) fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        while state.jobs.is_empty() && !state.closed {
            state.poppers += 1;
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.poppers -= 1;
        }
        self.take(state)
    }

    fn take(&self, mut state: MutexGuard<'_, State<T>>) -> Option<T> {
        let job = state.jobs.pop_front()?;
        let wanted = state.pushers > 0;
        drop(state);
        if wanted {
            self.drained.notify_one();
        }
        Some(job)
    }

    /// Says that no more jobs will come.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Each operation leaves the queue whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn all_jobs_come_out_once_and_then_the_end() {
        let queue = Arc::new(Queue::new(2));
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let queue = Arc::clone(&queue);
                std::thread::spawn(move || std::iter::from_fn(|| queue.pop()).collect::<Vec<u32>>())
            })
            .collect();
        (0..1000).for_each(|job| queue.push(job));
        queue.close();
        let mut jobs: Vec<u32> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
        jobs.sort_unstable();
        assert_eq!(jobs, (0..1000).collect::<Vec<_>>());
    }
}
