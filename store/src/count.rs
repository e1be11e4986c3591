//! Counts the objects that a store has written and the requests that it has sent. A paid store bills both.

#[cfg(feature = "s3")]
use std::sync::atomic::{AtomicU64, Ordering};

/// The counts of one store since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Objects that were written.
    pub objects: u64,
    /// Requests to servers, retries included. A directory has none.
    pub requests: u64,
}

impl From<Counts> for (u64, u64) {
    /// Objects, and requests: as an agent reports them.
    fn from(counts: Counts) -> Self {
        (counts.objects, counts.requests)
    }
}

/// Counts for one store, from any thread.
#[cfg(feature = "s3")]
#[derive(Debug, Default)]
pub(crate) struct Counter {
    objects: AtomicU64,
    requests: AtomicU64,
}

#[cfg(feature = "s3")]
impl Counter {
    pub(crate) fn object(&self) {
        self.objects.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts { objects: self.objects.load(Ordering::Relaxed), requests: self.requests.load(Ordering::Relaxed) }
    }
}
