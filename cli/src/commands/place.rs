//! Paths and repositories, as the user gives them, turned into what the agents can be told.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::error::{Usage, words};

/// The absolute form of a path to a volume; links stay, since `/dev/disk/by-id/…` says more than
/// what it points to today.
pub(crate) fn volume_path(path: &Path) -> anyhow::Result<String> {
    let text = path
        .to_str()
        .ok_or_else(|| Usage(format!("the path {path:?} is not UTF-8: give it another name, or a link to it")))?;
    if text.starts_with("rbd:") {
        return Err(Usage(format!("{text}: RBD images need septet-rbd, which is not installed")).into());
    }
    if text.is_empty() {
        return Err(Usage("an empty path names no volume".to_owned()).into());
    }
    let absolute = absolute(path)?;
    Ok(absolute.to_str().unwrap_or(text).to_owned())
}

/// The repository's URL, or the absolute form of its path.
pub(crate) fn repository(repo: &str) -> anyhow::Result<String> {
    if repo.is_empty() {
        return Err(Usage("an empty --repo (or SEPTET_REPO) names no repository".to_owned()).into());
    }
    if repo.contains("://") {
        return Ok(repo.to_owned());
    }
    let absolute = absolute(Path::new(repo))?;
    Ok(absolute.to_str().unwrap_or(repo).to_owned())
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).map_err(|error| {
        let path = path.display();
        anyhow::anyhow!(
            "{path}: the working directory can't be found ({}): change to one that exists, or give an absolute path",
            words(&error)
        )
    })
}

/// Refuses a source that is not there, before a repository is made for it. What it is, and whether it
/// can be read, the reader says.
pub(super) fn check_exists(source: &str) -> anyhow::Result<()> {
    match std::fs::metadata(source) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => bail!("{source} does not exist: check the path"),
        Err(error) => bail!("{source}: the source can't be looked at: {}", words(&error)),
    }
}

/// What a path leads to, even if its last part is yet to be made; none if its directory is missing.
pub(super) fn real_path(path: &Path) -> Option<PathBuf> {
    let beside = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(beside)
}
