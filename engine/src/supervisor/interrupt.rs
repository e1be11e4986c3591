//! How a run is stopped from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Stops runs: whoever holds a copy may set it, and runs look at it ten times a second.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Stops the run that is under way, and all that follow.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// What a signal handler may set.
    pub fn flag(&self) -> &Arc<AtomicBool> {
        &self.0
    }
}
