//! Counts the objects that this process writes and the requests that it sends. A paid store bills both.

use std::sync::atomic::{AtomicU64, Ordering};

static OBJECTS: AtomicU64 = AtomicU64::new(0);
static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// Objects and requests of this process so far, over all its stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Objects written.
    pub objects: u64,
    /// Requests to servers, retries included. A directory store sends none.
    pub requests: u64,
}

impl From<Counts> for (u64, u64) {
    /// Objects, then requests, as an agent reports them.
    fn from(counts: Counts) -> Self {
        (counts.objects, counts.requests)
    }
}

/// Objects and requests of this process so far.
pub fn counts() -> Counts {
    Counts { objects: OBJECTS.load(Ordering::Relaxed), requests: REQUESTS.load(Ordering::Relaxed) }
}

#[cfg(feature = "s3")]
pub(crate) fn object() {
    OBJECTS.fetch_add(1, Ordering::Relaxed);
}

#[cfg(feature = "s3")]
pub(crate) fn request() {
    REQUESTS.fetch_add(1, Ordering::Relaxed);
}
