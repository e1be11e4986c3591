//! The seeds that a test tries.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Calls `run` for each of `usual` seeds, or for the number of seeds in `SEPTET_SEEDS`, in parallel on all cores. If
/// `SEPTET_SEED` is set, calls it only for that seed.
///
/// # Panics
/// If `run` panics. The seed is printed before.
pub fn each_seed(usual: u64, run: impl Fn(u64) + Sync) {
    let Range { start, end } = seeds(usual);
    let next = AtomicU64::new(start);
    let work = || {
        while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&seed| seed < end) {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
                eprintln!("replay it with SEPTET_SEED={seed}");
                next.store(end, Ordering::Relaxed);
                resume_unwind(panic);
            }
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
}

fn seeds(usual: u64) -> Range<u64> {
    match number("SEPTET_SEED") {
        Some(seed) => seed..seed.saturating_add(1),
        None => 0..number("SEPTET_SEEDS").unwrap_or(usual),
    }
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable}={value} is no number")))
}
