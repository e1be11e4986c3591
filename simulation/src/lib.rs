//! Septet's pipelines in one process: the agents' real handlers, with a seeded scheduler instead of
//! threads and sockets, on a store in memory that can stop after any change.
//!
//! What the scheduler may reorder it does: which agent goes on, and with which of its commands. A
//! seed stands for one order, so a failure can be replayed.

mod host;
mod ring;
mod runner;
mod samples;
mod seeds;
mod world;

pub use host::{Done, Host, Wish};
pub use ring::{Ring, Stopped};
pub use samples::{content, id};
pub use seeds::each_seed;
pub use world::World;

/// The blocks of the volumes, bytes.
pub const BLOCK_BYTES: u32 = 64 << 10;
