//! Finds a tool's program.

use std::path::PathBuf;
use std::process::Command;

use crate::binary::target_dir;

/// A program that `bench/peers/install` installed below the target directory, or one of the system.
pub(super) fn program(below_target: &str) -> Command {
    let path: PathBuf = target_dir().join(below_target);
    let name = path.file_name().unwrap_or_default().to_owned();
    if path.exists() { Command::new(path) } else { Command::new(name) }
}
