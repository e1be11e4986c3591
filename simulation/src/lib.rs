//! Septet's pipelines in one process: the agents' real handlers, with a seeded scheduler instead of threads and
//! sockets. The store is in memory and can stop after any change.
//!
//! The scheduler chooses at random which agent runs next, and which of its waiting commands it handles. A seed
//! determines the order, so a failure can be replayed.

mod host;
mod operations;
mod ring;
mod runner;
mod samples;
mod seeds;
mod world;

pub use host::{Done, Host, Wish};
pub use operations::each_operation;
pub use ring::{Ring, Stopped};
pub use samples::{content, id};
pub use seeds::each_seed;
pub use world::World;

/// The block size of the volumes, bytes.
pub const BLOCK_BYTES: u32 = 64 << 10;
