//! Shared memory: pools of slots that carry payload, and tables that carry metadata.
//!
//! A [`Pool`] is one POSIX shared-memory object with one owner. Only the owner allocates from it. Its name in
//! `/dev/shm` exists only for the moment of creation. After that the object travels as a file descriptor. So nobody can
//! occupy a name, a locked-in agent needs no access to `/dev/shm`, and a `kill -9` of everything leaves nothing behind.
//! If this process may use huge pages, a pool lies on those instead (`huge.rs`).

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

/// Slots start at multiples of this and may be read up to the next multiple, as O_DIRECT requires.
pub const ALIGN_BYTES: usize = 4096;

/// The size of a huge page, bytes.
const HUGE_BYTES: usize = 2 << 20;
