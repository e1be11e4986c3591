//! Paths and repositories, as the user gives them, turned into what the agents can be told.

use std::path::Path;

use anyhow::Context;

use crate::error::Usage;

/// The absolute form of a path to a volume; links stay, since `/dev/disk/by-id/…` says more than
/// what it points to today.
pub(crate) fn volume_path(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().ok_or_else(|| Usage(format!("the path {path:?} is not UTF-8: give it another name, or a link to it")))?;
    if text.starts_with("rbd:") {
        return Err(Usage(format!("{text}: RBD images need septet-rbd, which is not installed")).into());
    }
    if text.is_empty() {
        return Err(Usage("an empty path names no volume".to_owned()).into());
    }
    let absolute = std::path::absolute(path).with_context(|| format!("{text}: finding the absolute path"))?;
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
    let absolute = std::path::absolute(repo).with_context(|| format!("{repo}: finding the absolute path"))?;
    Ok(absolute.to_str().unwrap_or(repo).to_owned())
}
