//! What whoever opens a store expects to find there.

/// What [`open`](crate::open) expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The store is created if it does not exist.
    Create,
    /// The store must exist.
    Existing,
}
