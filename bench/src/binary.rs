//! Finding the `septet` that is measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// `given`, or else the one of this tree, built now in the profile that this program is built in.
///
/// # Errors
/// A `given` that is not there, or a tree that does not build.
pub(crate) fn septet(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(path) = given {
        return path.canonicalize().with_context(|| format!("--septet {}", path.display()));
    }
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let status = Command::new("cargo")
        .args(["build", "--quiet", "--package", "septet", "--profile", profile])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .status()
        .context("cargo can't be started: give --septet PATH")?;
    ensure!(status.success(), "septet does not build: give --septet PATH");
    let mine = std::env::current_exe()?;
    Ok(mine.with_file_name("septet"))
}
