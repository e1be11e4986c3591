//! Helpers for the end-to-end tests.
//!
//! A test makes a [`Scratch`] directory, fills a volume with [`content`], and runs the real binary through a [`Repo`]
//! or, with single arguments, through [`septet`]. Every run has a time limit. Everything that a test sets up is removed
//! when the test ends, even by a panic.

mod binary;
mod ceph;
pub mod circles;
mod compare;
pub mod content;
pub mod damage;
pub mod debian;
mod device;
pub mod fault;
pub mod fault_job;
#[cfg(target_arch = "x86_64")]
mod possessed;
mod processes;
mod repo;
mod run;
pub mod s3;
mod scratch;
mod shared;
pub mod soak;
mod tombstone;

pub use binary::{binary, build_rbd_binary, target_dir, workspace_dir};
pub use ceph::{Ceph, Change, Image};
pub use compare::{allocated_bytes, assert_bytes, assert_same};
pub use device::{LoopDevice, Mount, command, require_root};
#[cfg(target_arch = "x86_64")]
pub use possessed::Possessed;
pub use processes::{Process, assert_gone, children, is_alive};
pub use repo::{Backed, Blocks, Repo};
pub use run::{Outcome, Running, Septet, septet};
pub use scratch::Scratch;
pub use tombstone::is_tombstone;
