//! The steps that are measured with every tool.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::data::Volume;

/// A task for a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// A full backup.
    Full,
    /// An incremental backup of an unchanged volume.
    Unchanged,
    /// An incremental backup with 1 % of the blocks changed.
    #[serde(rename = "changed_1")]
    Changed1,
    /// An incremental backup with 7 % of the blocks changed.
    #[serde(rename = "changed_7")]
    Changed7,
    /// A restore of the last incremental. It must equal the volume bit for bit.
    Restore,
}

impl Step {
    /// Every step, in the order of execution.
    pub(crate) const ALL: [Self; 5] = [Self::Full, Self::Unchanged, Self::Changed1, Self::Changed7, Self::Restore];

    /// The version of the volume that it backs up, if it is a backup.
    pub(crate) fn source(self, volume: &Volume) -> Option<&PathBuf> {
        match self {
            Self::Full | Self::Unchanged => Some(&volume.original),
            Self::Changed1 => Some(&volume.changed_1),
            Self::Changed7 => Some(&volume.changed_7),
            Self::Restore => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Unchanged => "unchanged",
            Self::Changed1 => "1 % changed",
            Self::Changed7 => "7 % changed",
            Self::Restore => "restore",
        })
    }
}
