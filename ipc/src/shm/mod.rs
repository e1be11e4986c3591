//! Shared memory: pools of slots that carry payload, and tables that carry metadata.
//!
//! A [`Pool`] is one POSIX shared-memory object with one owner, which alone allocates from it. Its
//! name in `/dev/shm` lives only for the moment in which it is made: from then on the object
//! travels as a file descriptor, so nobody can squat on a name, a locked-in agent needs no right
//! to `/dev/shm`, and a `kill -9` of everything leaves nothing behind. Where this process may, a
//! pool lies on huge pages instead (`huge.rs`).

mod allocator;
mod attached;
mod blank;
mod growth;
mod huge;
mod mapping;
mod pool;
mod releases;
mod slot;
mod sweep;
mod table;

pub use attached::Attached;
pub(crate) use blank::Blank;
pub use pool::Pool;
pub use releases::Releases;
pub use slot::{NewSlot, Padded, Slot};
pub use sweep::sweep;
pub use table::Table;

/// Slots start on this boundary and may be read up to the next: what O_DIRECT asks for.
pub const ALIGN_BYTES: usize = 4096;

/// The size of a huge page, bytes.
const HUGE_BYTES: usize = 2 << 20;
