//! What the agents say to each other, and the framework that every agent runs in.
//!
//! An [`Agent`] is a filter: [`agent::run`] reads one [`Message`] a line from its upstream
//! socket, resolves the shared memory that a [`Command`] names to a [`Slot`], calls the handler,
//! and writes what the handler hands to [`Output`] to the downstream socket. Payload stays in
//! [`Pool`]s of shared memory. A [`Slot`] that a handler drops is released to the pool's owner,
//! on its own or up the socket: nothing can leak, and no agent frees anything by hand.
//!
//! PROTOCOL.md describes the same for people and for other languages.

pub mod agent;
pub mod begin;
pub mod command;
pub mod failure;
pub mod ids;
pub mod message;
pub mod rbd;
pub mod shm;
pub mod status;
pub mod wire;

pub use agent::{Agent, Context, Item, Output};
pub use begin::{BackupJob, Begin, Compression, DeleteJob, RestoreJob, Resume, Sample, VerifyJob};
pub use command::{Command, State, Work};
pub use failure::{Failure, FailureKind};
pub use ids::{AgentKind, PoolName, SlotId};
pub use message::Message;
pub use rbd::{RbdBackup, RbdOrigin, RbdRestore};
pub use septet_sandbox::Needs;
pub use shm::{NewSlot, Pool, Slot, Table};
pub use status::Event;
