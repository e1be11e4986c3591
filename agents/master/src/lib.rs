//! `septet-master` plans a run: it asks what there is to do, hands the work out a window at a
//! time, and knows when every byte of it has come back.
//!
//! The plans are pure state machines, `on(message) → messages`: they can be run in one process
//! with the other agents' handlers, reordered at will. [`run`] is all the I/O there is.

mod extents;
mod listing;
mod plan;
mod run;

pub use extents::ExtentPlan;
pub use listing::ListingPlan;
pub use plan::{Plan, Step};
pub use run::run;

use septet_ipc::{Begin, Failure};

/// The plan for the job, as it came back round the ring.
///
/// # Errors
/// A job to which an agent has not added what it must.
pub fn plan(begin: &Begin) -> Result<Box<dyn Plan>, Failure> {
    Ok(match begin {
        Begin::Backup(job) => {
            let volume_bytes =
                job.volume_bytes.ok_or_else(|| Failure::protocol("the reader did not say the volume's size"))?;
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
