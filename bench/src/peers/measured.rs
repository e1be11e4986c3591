//! The figures of all tools.

use serde::Serialize;

use crate::machine::Machine;
use crate::rbd::RbdReport;
use crate::roofline::Roofline;
use crate::rounds::Rows;
use crate::stored::Lz4Size;
use crate::units::Size;

/// A tool that was not measured, and the reason.
#[derive(Debug, Serialize)]
pub(super) struct Absent {
    pub(super) tool: &'static str,
    pub(super) why: String,
}

/// All figures.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    pub(super) machine: Machine,
    pub(super) volume_bytes: Size,
    pub(super) rounds: u32,
    /// The tools' own names and versions.
    pub(super) versions: Vec<(&'static str, String)>,
    pub(super) absent: Vec<Absent>,
    pub(super) rows: Rows,
    pub(super) rooflines: Vec<Roofline>,
    pub(super) lz4: Vec<Lz4Size>,
    pub(super) rbd: Option<RbdReport>,
}
