//! What a plan is: what it asks for, and what it makes of the answers.

use septet_ipc::message::{Damage, Progress};
use septet_ipc::{Failure, Message};

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
