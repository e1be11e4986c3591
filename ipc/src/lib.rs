//! The messages that agents exchange, the framework that every agent runs in, and the memory that agents share.
//!
//! Three ideas, one folder each:
//!
//! - [`message`]: a [`Message`] is one line on a socket; a [`Command`] is the message about one extent of the volume.
//! - [`agent`]: an [`Agent`] is a handler that takes commands and passes on results. [`agent::run`] does the rest.
//! - [`shm`]: a [`Slot`] is a piece of shared memory that holds the bytes of one command.
//!
//! They meet in [`agent::run`]. It reads a [`Message`] from the upstream socket, resolves the shared memory that a
//! [`Command`] names to a [`Slot`], calls the [`Agent`] with both as [`Work`], and writes what the handler gives to its
//! [`Worker`] to the downstream socket. When a handler drops a [`Slot`], the slot goes back to the [`Pool`] that it was
//! taken from: at once if this process owns the pool, otherwise by a message to the owner. So no slot can leak, and no
//! agent frees memory by hand.
//!
//! PROTOCOL.md describes the same for people and for other languages.

pub mod agent;
pub mod message;
pub mod shm;
#[cfg(feature = "test-support")]
pub mod test_support;

pub use agent::{Agent, Context, Item, Output, StoreCounts, Work, Worker};
pub use message::{
    AgentKind, BackupJob, Begin, Command, Compression, DeleteJob, Event, Failure, FailureKind, Message, PoolName,
    RestoreJob, Resume, Sample, SlotId, State, VerifyJob,
};
pub use septet_sandbox::Needs;
pub use shm::{NewSlot, Pool, Slot, Table};
