//! `septet-master` plans a run: it asks what there is to do, hands the work out a window at a
//! time, and knows when every byte of it has come back.
//!
//! The plans are pure state machines, `on(message) → messages`: they can be run in one process
//! with the other agents' handlers, reordered at will. [`run`] is all the I/O there is.

mod extents;
mod listing;
mod run;

pub use extents::ExtentPlan;
pub use listing::ListingPlan;
pub use run::run;

use septet_ipc::message::{Damage, Progress};
use septet_ipc::{Begin, Failure, Message};

/// What a plan wants done after a message.
#[derive(Debug, Default)]
pub struct Step {
    /// Commands for the next agent.
    pub commands: Vec<Message>,
    /// Damage to tell the user of.
    pub damage: Vec<Damage>,
}

impl Step {
    /// Only commands.
    pub fn commands(commands: Vec<Message>) -> Self {
        Self { commands, damage: Vec::new() }
    }
}

/// A run, as the master sees it.
pub trait Plan {
    /// The first commands, when `begin` has come back round the ring.
    ///
    /// # Errors
    /// A job that can't be planned.
    fn start(&mut self) -> Result<Step, Failure>;

    /// Takes what came back.
    ///
    /// # Errors
    /// An answer to what was never asked.
    fn on(&mut self, message: Message) -> Result<Step, Failure>;

    /// Whether all has come back.
    fn is_done(&self) -> bool;

    /// How far it is.
    fn progress(&self) -> &Progress;
}

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
