//! Whether opening a store may create it.

/// Whether [`open`](crate::open) may create the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The store is created if it does not exist.
    Create,
    /// The store must exist.
    Existing,
}
