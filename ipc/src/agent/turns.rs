//! The turn to read the socket: the workers of an agent take turns.
//!
//! The worker that has the turn reads a command, gives the turn back, and handles the command itself. A thread that
//! only reads and dispatches would wake a worker for every command. Here no worker is woken while there is more to do.
//! That saves a backup a fifth of its context switches.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The turn. At most one worker has it. `T` is what is needed to read.
pub(super) struct Turns<T> {
    state: Mutex<State<T>>,
    free: Condvar,
}

struct State<T> {
    /// Present while no worker has the turn.
    turn: Option<T>,
    ended: bool,
    /// How many workers wait for the turn. Notifying nobody would still be a system call.
    waiting: usize,
}

impl<T> Turns<T> {
    /// Creates turns that begin when the first is given.
    pub(super) fn new() -> Self {
        let state = State { turn: None, ended: false, waiting: 0 };
        Self { state: Mutex::new(state), free: Condvar::new() }
    }

    /// Takes the turn if it is free now.
    pub(super) fn try_take(&self) -> Option<T> {
        self.lock().turn.take()
    }

    /// Takes the turn when it is free. Returns `None` when there will be no more turns.
    pub(super) fn take(&self) -> Option<T> {
        let mut state = self.lock();
        while state.turn.is_none() && !state.ended {
            state.waiting += 1;
            state = self.free.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        state.turn.take()
    }

    /// Gives the turn back. If `call` is true, wakes another worker to take it.
    pub(super) fn give(&self, turn: T, call: bool) {
        let mut state = self.lock();
        state.turn = Some(turn);
        if call {
            self.notify(state);
        }
    }

    /// Wakes another worker if the turn is free.
    pub(super) fn call(&self) {
        let state = self.lock();
        if state.turn.is_some() {
            self.notify(state);
        }
    }

    /// Declares that there is nothing more to read.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.free.notify_all();
    }

    fn notify(&self, state: MutexGuard<'_, State<T>>) {
        let wanted = state.waiting > 0;
        drop(state);
        if wanted {
            self.free.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Each operation leaves the state consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use super::*;

    /// Three workers take numbers from a turn until none are left.
    fn numbers(call: bool) -> Vec<u32> {
        let turns = Turns::new();
        turns.give(0..1000, false);
        let within = AtomicU32::new(0);
        let work = || {
            let mut mine = Vec::new();
            while let Some(mut turn) = turns.take() {
                assert_eq!(within.fetch_add(1, SeqCst), 0, "two have the turn");
                let next = turn.next();
                within.fetch_sub(1, SeqCst);
                let Some(number) = next else {
                    turns.end();
                    break;
                };
                turns.give(turn, call);
                mine.push(number);
            }
            mine
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..3).map(|_| scope.spawn(work)).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        })
    }

    #[test]
    fn each_is_read_once_by_one_at_a_time_and_all_end() {
        for call in [true, false] {
            let mut numbers = numbers(call);
            numbers.sort_unstable();
            assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
        }
    }

    #[test]
    fn one_who_stands_aside_lets_another_read_on() {
        let turns = Turns::new();
        turns.give(0..2, false);
        std::thread::scope(|scope| {
            let mut turn = turns.take().unwrap();
            let other = scope.spawn(|| turns.take().and_then(|mut turn| turn.next()));
            assert_eq!(turn.next(), Some(0));
            turns.give(turn, false);
            // However long this worker is blocked from here on:
            turns.call();
            assert_eq!(other.join().unwrap(), Some(1));
            assert!(turns.try_take().is_none());
        });
    }
}
