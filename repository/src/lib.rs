//! The repository: format and store together, as the agents and the command line use them.
//!
//! A [`Repository`] finds and commits backups. A [`BlockIndex`] says where each block of one backup lies, and a
//! [`BackupReader`] reads it. [`pending`] marks an unfinished backup, and [`reclaim`] decides what may be deleted.
//! Together they make it safe to run a backup and a deletion at the same time. `tombstone` decides which attempts at a
//! backup can't commit any more. [`audit`] finds which ranges of a volume are damaged, and [`rebuild`] rebuilds lost
//! tables. [`resume`] continues from what an interrupted run stored. All data is checked before it is used.

pub mod audit;
mod block_index;
mod block_reader;
mod cached_table;
mod catalog;
mod clean;
mod commit;
pub mod conclude;
mod contents;
mod entries;
mod error;
pub mod markers;
mod objects;
mod opened;
mod parallel;
pub mod pending;
mod process;
mod rebuild;
pub mod reclaim;
mod repository;
pub mod resume;
mod segment;
pub mod sweep;
mod table;
mod table_writer;
mod tombstone;
mod trial;
mod view;

#[cfg(test)]
mod sample;

pub use block_index::{BlockIndex, Extent};
pub use block_reader::BackupReader;
pub use catalog::{Found, Listing};
pub use clean::{Cleaned, clean};
pub use contents::Contents;
pub use error::{RepositoryError, Result};
pub use objects::{SegmentSink, SegmentUpload};
pub use opened::OpenedBackup;
pub use process::{current as current_process, machine};
pub use rebuild::{Rebuilt, rebuild};
pub use repository::Repository;
pub use septet_store::{Counts, PartRules, needs_to_read, needs_to_write, wants_credentials};
pub use table::TableKind;
pub use table_writer::NewTable;
pub use trial::{FailedTrial, Trial, Unfit, try_store};
pub use view::VolumeView;
