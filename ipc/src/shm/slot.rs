//! A slot as its holder sees it. When it is dropped, it goes back to its pool.

use std::sync::Arc;

use super::ALIGN_BYTES;
use super::mapping::Region;
use crate::message::SlotId;

/// The place that a slot goes back to.
pub(super) trait Home: std::fmt::Debug + Send + Sync {
    /// Takes back a slot. Called once for each slot.
    fn take_back(&self, id: SlotId);

    /// Splits a slot after `bytes`, rounded up. Returns the name of the rest and how many bytes stay, if there is a
    /// rest. Only the pool's owner can split slots.
    fn cut(&self, _: SlotId, _bytes: usize) -> Option<(SlotId, usize)> {
        None
    }
}

/// A slot that was just taken from this process's own pool, to be filled.
#[derive(Debug)]
pub struct NewSlot {
    slot: Slot,
}

impl NewSlot {
    pub(super) fn new(id: SlotId, region: Region, home: Arc<dyn Home>) -> Self {
        let len = region.len();
        Self { slot: Slot { id, region, len, home: Some(home) } }
    }

    /// All its bytes, for writing: at least as many as requested, and 4096-aligned.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.slot.region.len();
        self.slot.region.bytes_mut(len)
    }

    /// Turns it into a slot of `len` bytes that others may read. The bytes after `len` up to the next multiple of 4096
    /// are cleared. The rest of the slot goes back to the pool.
    pub fn filled(mut self, len: usize) -> Slot {
        let len = len.min(self.slot.region.len());
        let padded = padded_len(len).min(self.slot.region.len());
        self.slot.region.bytes_mut(padded)[len..].fill(0);
        drop(self.split_off(padded.max(1)));
        self.slot.len = len;
        self.slot
    }

    /// Splits it after `at` bytes, rounded up to the pool's unit. The rest becomes a separate slot.
    pub fn split_off(&mut self, at: usize) -> Option<Self> {
        let home = self.slot.home.as_ref()?;
        let (id, kept) = home.cut(self.slot.id, at)?;
        let region = self.slot.region.split_off(kept);
        let rest = Self::new(id, region, Arc::clone(home));
        self.slot.len = self.slot.region.len();
        Some(rest)
    }
}

/// A slot that holds bytes. This agent may read it until it passes it on or drops it.
#[derive(Debug)]
pub struct Slot {
    id: SlotId,
    region: Region,
    len: usize,
    home: Option<Arc<dyn Home>>,
}

impl Slot {
    pub(super) fn new(id: SlotId, region: Region, len: usize, home: Arc<dyn Home>) -> Self {
        Self { id, region, len, home: Some(home) }
    }

    /// Its name on the wire.
    pub fn id(&self) -> SlotId {
        self.id
    }

    /// The bytes that it holds.
    pub fn bytes(&self) -> &[u8] {
        self.region.bytes(self.len)
    }

    /// Gives up the slot and returns its name. From then on the next agent must release it.
    pub fn pass_on(mut self) -> SlotId {
        self.home = None;
        self.id
    }

    /// Turns the slot into an owner of its bytes and their padding, together a multiple of 4096.
    pub fn padded(self) -> Padded {
        Padded(self)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.take_back(self.id);
        }
    }
}

/// A slot's bytes and the zeros after them. They are written to a store without a copy.
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
