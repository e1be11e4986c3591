//! The slots of other agents that this agent is done with, on their way back to the pools' owners.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::slot::Home;
use crate::message::{Failure, FailureKind, Message, Sender, SlotId};

/// Releases are batched, because each message wakes a thread in every agent upstream. The pools have room for this many
/// slots that are free and not yet reported.
const RELEASES_MIN: usize = 4;

/// The releases that wait to be sent upstream.
pub struct Releases {
    upstream: Arc<Sender>,
    waiting: Mutex<Vec<SlotId>>,
}

impl std::fmt::Debug for Releases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Releases")
    }
}

impl Releases {
    /// Releases that go up `upstream`.
    pub fn new(upstream: Arc<Sender>) -> Arc<Self> {
        Arc::new(Self { upstream, waiting: Mutex::new(Vec::new()) })
    }

    /// Adds a slot; it leaves with the next [`Self::flush`].
    pub fn push(&self, id: SlotId) {
        self.waiting().push(id);
    }

    /// Sends what waits. If nobody listens any more, that is no error: the pool's owner has ended, and the kernel frees
    /// the memory when the last process unmaps it.
    ///
    /// # Errors
    /// When the socket is broken otherwise.
    pub fn flush(&self) -> Result<(), Failure> {
        let ids = std::mem::take(&mut *self.waiting());
        if ids.is_empty() {
            return Ok(());
        }
        match self.upstream.send(&Message::Release(ids)) {
            Err(failure) if failure.kind == FailureKind::Peer => Ok(()),
            other => other,
        }
    }

    /// Sends what waits if that is worth a message. A caller that has nothing more to do calls [`Self::flush`].
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub fn flush_many(&self) -> Result<(), Failure> {
        let is_worth_it = self.waiting().len() >= RELEASES_MIN;
        if is_worth_it { self.flush() } else { Ok(()) }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<SlotId>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Home for Releases {
    fn take_back(&self, id: SlotId) {
        self.push(id);
    }
}
