//! Runs the stores' conformance suite against a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Server;

/// Runs the suite in `bucket`, each case under a prefix of its own.
pub fn conformance(server: &Server, bucket: &str) {
    let case = AtomicU32::new(0);
    septet_store::conformance::run(|| {
        let case = case.fetch_add(1, Ordering::Relaxed);
        // radosgw answers 500 if an aborted upload is finished. That request is retried until the time limit.
        Arc::new(server.store(&format!("{bucket}/conformance/{case}?part-size=5&time-limit=9")))
    });
}
