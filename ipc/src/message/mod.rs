//! The messages of the agents: lines on their sockets, and events on standard error.
//!
//! A [`Message`] is one line. The first line of a run is [`Begin`], the job. After it come [`Command`]s, one for each
//! extent of the volume. A [`Sender`] and a [`Receiver`] are the two halves of a socket. An [`Event`] tells the
//! supervisor how the agent is doing. PROTOCOL.md describes the same for people and for other languages.

mod begin;
mod command;
mod companion;
mod failure;
mod ids;
mod intake;
mod line;
mod status;
mod wire;

pub use begin::{BackupJob, Begin, Compression, DeleteJob, RestoreJob, Resume, Sample, VerifyJob};
pub use command::{Command, State};
pub use companion::{Answer, Question};
pub use failure::{Failure, FailureKind};
pub use ids::{AgentKind, BadId, PoolName, SlotId};
pub use intake::Intake;
pub use line::{
    BadLine, CheckedLine, LINE_BYTES_MAX, Message, PoolLine, SegmentLine, SegmentName, TableKind, TableLine,
};
pub use status::{Damage, Event, Progress, Status};
pub use wire::{Receiver, Sender};
