//! The interface of a plan: what it requests, and how it handles the answers.

use septet_ipc::message::{Damage, Progress};
use septet_ipc::{Failure, Message};

/// What a plan wants done after a message.
#[derive(Debug, Default)]
pub struct Step {
    /// Commands for the next agent.
    pub commands: Vec<Message>,
    /// Damage to report to the user.
    pub damage: Vec<Damage>,
}

impl Step {
    /// A step with commands only.
    pub fn commands(commands: Vec<Message>) -> Self {
        Self { commands, damage: Vec::new() }
    }
}

/// A run from the master's point of view.
pub trait Plan {
    /// The first commands. Called when `begin` has come back round the ring.
    ///
    /// # Errors
    /// The job can't be planned.
    fn start(&mut self) -> Result<Step, Failure>;

    /// Handles a message that came back.
    ///
    /// # Errors
    /// The message answers a command that was never sent.
    fn on(&mut self, message: Message) -> Result<Step, Failure>;

    /// Whether everything has come back.
    fn is_done(&self) -> bool;

    /// The progress of the run.
    fn progress(&self) -> &Progress;
}
