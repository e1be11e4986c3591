//! Carries out each command, independently of the command line and of printing.
//!
//! A command is a typed request ([`BackupRequest`], [`RestoreRequest`] and so on). An [`Engine`] carries it out on a
//! [`Repository`](septet_repository::Repository) and returns a typed result. Meanwhile an [`Observer`] receives
//! progress and notes. A [`Runner`] runs the agents: [`Supervisor`] starts them as processes; the simulation runs the
//! same requests on agents in one process.

mod attempt;
mod backup;
mod clean;
mod companion;
mod delete;
mod diff_stream;
mod engine;
mod error;
mod export_diff;
mod import_diff;
mod list;
mod observer;
mod place;
mod plan;
mod rebuild;
mod request;
mod restore;
mod runner;
mod settings;
mod smoke;
mod supervisor;
mod tracking;
mod verify;
mod words;

pub use backup::back_up;
pub use clean::{CleanRequest, Cleaned};
pub use delete::{DeleteRequest, Deleted};
pub use diff_stream::Version as DiffVersion;
pub use engine::Engine;
pub use error::{BadRequest, Error, ErrorKind, Interrupted, Result};
pub use export_diff::ExportDiffRequest;
pub use import_diff::ImportDiffRequest;
pub use list::{list, show};
pub use observer::{Doing, Observer};
pub use place::{CephAccess, UploadCheck, repository, repository_within, volume};
pub use rebuild::{RebuildRequest, RebuiltTables};
pub use request::{BackupRequest, Compare, Made};
pub use restore::{RestoreRequest, Restored};
pub use runner::{Report, RunError, Runner, Usage, pipeline};
pub use septet_volume::VolumeUrl;
pub use settings::{Sandboxing, Settings, TIMEOUT_DEFAULT};
pub use smoke::SmokeRequest;
pub use supervisor::{Interrupt, Supervisor};
pub use verify::{DamagedBackup, Verified, VerifyRequest, VolumeRun};
pub use words::{number_of, size, words};
