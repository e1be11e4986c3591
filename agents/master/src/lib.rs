//! `septet-master` plans a run. It asks what there is to do, sends the work out one window at a time, and knows when
//! every byte of it has come back.
//!
//! The plans are pure state machines, `on(message) → messages`. Tests can run them in one process with the other
//! agents' handlers, and reorder messages freely. All I/O is in [`run`].

mod extents;
mod listing;
mod plan;
mod run;

pub use extents::ExtentPlan;
pub use listing::ListingPlan;
pub use plan::{Plan, Step};
pub use run::run;

use septet_ipc::{Begin, Failure};

/// The plan for the job after it has gone round the ring.
///
/// # Errors
/// An agent did not add a required field to the job.
pub fn plan(begin: &Begin) -> Result<Box<dyn Plan>, Failure> {
    Ok(match begin {
        Begin::Backup(job) => {
            let volume_bytes =
                job.volume_bytes.ok_or_else(|| Failure::protocol("the reader did not report the volume's size"))?;
            Box::new(ExtentPlan::new(
                0..volume_bytes,
                volume_bytes,
                job.block_bytes,
                extents::BACKUP_BLOCKS,
                job.streams,
            )?)
        }
        Begin::Restore(job) => {
            let end = job.offset_bytes.saturating_add(job.length_bytes);
            Box::new(ExtentPlan::new(
                job.offset_bytes..end,
                job.volume_bytes,
                job.block_bytes,
                extents::RESTORE_BLOCKS,
                job.streams,
            )?)
        }
        Begin::Verify(job) => Box::new(ListingPlan::new(job.streams)),
        // Each command deletes up to a thousand objects.
        Begin::Delete(_) => Box::new(ListingPlan::new(4)),
    })
}
