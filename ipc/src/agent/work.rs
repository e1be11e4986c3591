//! What a handler gets: a command, with the slot itself in the place of its name.

use crate::message::{Command, State};
use crate::shm::Slot;

/// A command in the hands of an agent: with the slot itself in the place of its name.
///
/// Whoever drops it gives the slot back.
#[derive(Debug)]
pub struct Work {
    /// The command; its `shm_id` is filled in when it is sent.
    pub command: Command,
    /// The bytes that it carries.
    pub slot: Option<Slot>,
}

impl Work {
    /// Work on the extent at `offset` that carries no bytes.
    pub fn new(offset: u64, size: u64, state: State) -> Self {
        Self { command: Command::new(offset, size, state), slot: None }
    }

    /// The bytes that it carries, without the padding behind them.
    pub fn bytes(&self) -> Option<&[u8]> {
        self.slot.as_ref().map(Slot::bytes)
    }
}
