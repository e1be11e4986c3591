//! Finds the `septet` binary to measure.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// Returns `given`, or builds the binary of this tree in the profile of this program.
///
/// # Errors
/// `given` does not exist, or the tree does not build.
pub(crate) fn septet(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    built(given, &["septet"])
}

/// The same, with the binary for Ceph beside it.
///
/// # Errors
/// As [`septet`].
pub(crate) fn septet_with_rbd(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    built(given, &["septet", "septet-rbd"])
}

/// The target directory of this program. `tests/setup` and `bench/peers/install` install there too.
pub(crate) fn target_dir() -> PathBuf {
    let mine = std::env::current_exe().unwrap_or_default();
    let profile = mine.ancestors().skip(1).find(|dir| !dir.ends_with("deps"));
    profile.and_then(Path::parent).map(Path::to_owned).unwrap_or_default()
}

fn built(given: Option<PathBuf>, packages: &[&str]) -> anyhow::Result<PathBuf> {
    if let Some(path) = given {
        return path.canonicalize().with_context(|| format!("--septet {}", path.display()));
    }
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let status = Command::new("cargo")
        .args(["build", "--quiet", "--profile", profile])
        .args(packages.iter().flat_map(|package| ["--package", package]))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .status()
        .context("cargo can't be started: give --septet PATH")?;
    ensure!(status.success(), "septet does not build: give --septet PATH");
    let mine = std::env::current_exe()?;
    Ok(mine.with_file_name("septet"))
}
