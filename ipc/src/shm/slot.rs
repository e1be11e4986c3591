//! A slot in the hands of an agent: dropped, it goes back to its pool.

use std::sync::{Arc, Mutex, PoisonError};

use super::ALIGN_BYTES;
use super::mapping::Region;
use super::pool::Pool;
use crate::message::Failure;
use crate::message::Message;
use crate::message::Sender;
use crate::message::SlotId;

/// Where a slot goes back to.
#[derive(Debug, Clone)]
pub(super) enum Home {
    /// The pool is this process's own.
    Own(Arc<Pool>),
    /// The pool's owner is upstream.
    Upstream(Arc<Releases>),
}

impl Home {
    fn give_back(&self, id: SlotId) {
        match self {
            // It was taken from this very pool and is given back once: by `Drop`.
            Self::Own(pool) => drop(pool.give_back(id)),
            Self::Upstream(releases) => releases.push(id),
        }
    }
}

/// Each message with releases wakes a thread in every agent on its way; the pools have room for
/// this many that are free and not yet known to be.
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

    /// Sends what waits. That nobody listens any more is no error: the pool's owner has ended,
    /// and its memory goes when the last process unmaps it.
    ///
    /// # Errors
    /// When the socket is broken otherwise.
    pub fn flush(&self) -> Result<(), Failure> {
        let ids = std::mem::take(&mut *self.waiting());
        if ids.is_empty() {
            return Ok(());
        }
        match self.upstream.send(&Message::Release(ids)) {
            Err(failure) if failure.kind == crate::message::FailureKind::Peer => Ok(()),
            other => other,
        }
    }

    /// Sends what waits if that is worth a message: for whoever has more to do, and flushes all before
    /// it has not.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub fn flush_many(&self) -> Result<(), Failure> {
        let is_worth_it = self.waiting().len() >= RELEASES_MIN;
        if is_worth_it { self.flush() } else { Ok(()) }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<SlotId>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A slot that was just taken from this process's own pool, to be filled.
#[derive(Debug)]
pub struct NewSlot {
    slot: Slot,
}

impl NewSlot {
    pub(super) fn new(id: SlotId, region: Region, home: Home) -> Self {
        let len = region.len();
        Self { slot: Slot { id, region, len, home: Some(home) } }
    }

    /// All of it, to be written; at least as long as was asked for, 4096-aligned.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.slot.region.len();
        self.slot.region.bytes_mut(len)
    }

    /// Makes it a slot of `len` bytes that others may read: what is behind them up to the next
    /// 4096 becomes zeros, and what is behind that goes back to the pool.
    pub fn filled(mut self, len: usize) -> Slot {
        let len = len.min(self.slot.region.len());
        let padded = padded_len(len).min(self.slot.region.len());
        self.slot.region.bytes_mut(padded)[len..].fill(0);
        drop(self.split_off(padded.max(1)));
        self.slot.len = len;
        self.slot
    }

    /// Cuts it after `at` bytes, rounded up to the pool's unit: the rest becomes a slot of its own.
    pub fn split_off(&mut self, at: usize) -> Option<Self> {
        let Some(Home::Own(pool)) = &self.slot.home else { return None };
        let unit = pool.split(self.slot.id.unit, at)?;
        let region = self.slot.region.split_off((unit - self.slot.id.unit) as usize * pool.unit_bytes());
        self.slot.len = self.slot.region.len();
        Some(Self::new(SlotId { unit, ..self.slot.id }, region, Home::Own(Arc::clone(pool))))
    }
}

/// A slot that holds bytes: this agent's to read, until it passes it on or drops it.
#[derive(Debug)]
pub struct Slot {
    id: SlotId,
    region: Region,
    len: usize,
    home: Option<Home>,
}

impl Slot {
    pub(super) fn upstream(id: SlotId, region: Region, len: usize, releases: &Arc<Releases>) -> Self {
        Self { id, region, len, home: Some(Home::Upstream(Arc::clone(releases))) }
    }

    /// Its name on the wire.
    pub fn id(&self) -> SlotId {
        self.id
    }

    /// The bytes that it holds.
    pub fn bytes(&self) -> &[u8] {
        self.region.bytes(self.len)
    }

    /// Gives the responsibility for it away, with its name: it is in a message to the next agent.
    pub fn pass_on(mut self) -> SlotId {
        self.home = None;
        self.id
    }

    /// The slot as an owner of its bytes and their padding, a multiple of 4096 in all.
    pub fn padded(self) -> Padded {
        Padded(self)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.give_back(self.id);
        }
    }
}

/// A slot's bytes with the zeros behind them: what is written to a store without a copy.
#[derive(Debug)]
pub struct Padded(Slot);

impl AsRef<[u8]> for Padded {
    fn as_ref(&self) -> &[u8] {
        self.0.region.bytes(padded_len(self.0.len))
    }
}

fn padded_len(len: usize) -> usize {
    len.next_multiple_of(ALIGN_BYTES)
}
