//! The benchmark's interface to a backup tool. Each tool has its own file.

mod septet;

use std::path::Path;

use serde::Serialize;

use crate::step::Step;
pub(crate) use septet::{SEPTET, SEPTET_S3, Septet};

/// A backup tool with its own repository, which is empty at first.
pub(crate) trait Tool {
    /// Its name.
    fn name(&self) -> &'static str;

    /// The steps that it supports, in order.
    fn steps(&self) -> &'static [Step] {
        &Step::ALL
    }

    /// Backs up all of the volume at `path`.
    fn full(&mut self, path: &Path) -> anyhow::Result<Cost>;

    /// Backs up the changes of the volume at `path` since the full backup.
    fn incremental(&mut self, path: &Path) -> anyhow::Result<Cost>;

    /// Restores the newest backup to the file `path`, which does not exist.
    fn restore(&mut self, path: &Path) -> anyhow::Result<Cost>;
}

/// The cost of a tool's step, over all its processes.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cost {
    /// From start to end, seconds.
    pub(crate) wall_seconds: f64,
    /// CPU time as the kernel counted it, seconds.
    pub(crate) cpu_seconds: f64,
    /// CPU time as the tool reports it, seconds.
    pub(crate) cpu_told_seconds: Option<f64>,
    /// The peak of memory as the tool reports it, bytes.
    pub(crate) memory_told_bytes: Option<u64>,
    /// The peak of memory that sampling saw, bytes.
    pub(crate) memory_seen_bytes: Option<u64>,
    /// The growth of the repository, bytes.
    pub(crate) stored_bytes: u64,
    /// The requests that it made to an S3 server.
    pub(crate) requests: Option<u64>,
}

/// The kernel's and the tool's figure may differ by this much: only one includes the start of the process.
const TOLERANCE: f64 = 0.03;
const START_SECONDS: f64 = 0.01;

impl Cost {
    /// The CPU time that counts: the greater of the kernel's and the tool's.
    pub(crate) fn cpu(&self) -> f64 {
        self.cpu_told_seconds.map_or(self.cpu_seconds, |told| told.max(self.cpu_seconds))
    }

    /// Whether the tool and the kernel report different CPU times.
    pub(crate) fn cpu_disagrees(&self) -> bool {
        let tolerance = TOLERANCE * self.cpu_seconds + START_SECONDS;
        self.cpu_told_seconds.is_some_and(|told| (told - self.cpu_seconds).abs() > tolerance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greater_cpu_time_counts_and_a_small_difference_is_forgiven() {
        let cost = |told| Cost {
            wall_seconds: 1.0,
            cpu_seconds: 2.0,
            cpu_told_seconds: told,
            memory_told_bytes: None,
            memory_seen_bytes: None,
            stored_bytes: 0,
            requests: None,
        };
        assert_eq!((cost(None).cpu(), cost(None).cpu_disagrees()), (2.0, false));
        assert_eq!((cost(Some(1.95)).cpu(), cost(Some(1.95)).cpu_disagrees()), (2.0, false));
        assert_eq!((cost(Some(2.1)).cpu(), cost(Some(2.1)).cpu_disagrees()), (2.1, true));
        assert_eq!((cost(Some(1.5)).cpu(), cost(Some(1.5)).cpu_disagrees()), (2.0, true));
    }
}
