//! What a handler gets: a command together with the slot that it names.

use crate::message::{Command, State};
use crate::shm::Slot;

/// A command as an agent handles it: it holds the slot itself instead of the slot's name.
///
/// Dropping it releases the slot.
#[derive(Debug)]
pub struct Work {
    /// The command. Its `shm_id` is filled in when it is sent.
    pub command: Command,
    /// The slot with the command's bytes, if it carries any.
    pub slot: Option<Slot>,
}

impl Work {
    /// Creates work for the extent at `offset` without bytes.
    pub fn new(offset: u64, size: u64, state: State) -> Self {
        Self { command: Command::new(offset, size, state), slot: None }
    }

    /// The bytes that it carries, without the padding after them.
    pub fn bytes(&self) -> Option<&[u8]> {
        self.slot.as_ref().map(Slot::bytes)
    }
}
