//! The slots of other agents that this agent has released, on their way back to the pools' owners.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::slot::Home;
use crate::message::{Failure, FailureKind, Message, Sender, SlotId};

/// Releases are batched, because each message wakes a thread in every agent upstream. Pools have room for this many
/// slots that are free but not yet reported.
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
    /// Creates an empty queue of releases that are sent to `upstream`.
    pub fn new(upstream: Arc<Sender>) -> Arc<Self> {
        Arc::new(Self { upstream, waiting: Mutex::new(Vec::new()) })
    }

    /// Adds a slot. The next [`Self::flush`] sends it.
    pub fn push(&self, id: SlotId) {
        self.waiting().push(id);
    }

    /// Sends what is queued. It is not an error if the reader has closed the socket: then the pool's owner has ended,
    /// and the kernel frees the memory when the last process unmaps it.
    ///
    /// # Errors
    /// The socket is broken in another way.
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

    /// Sends what is queued if it is worth a message. A caller that has nothing more to do calls [`Self::flush`].
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
