//! Paths and repositories, as the user gives them, turned into what the agents can be told.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;

use crate::args::{TIMEOUT_DEFAULT, UploadCheck};
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

/// The repository for agents that may be at one request for `timeout`: S3 must give up, and say why,
/// before the supervisor does. Each command may take two requests, and a stalled one more.
pub(crate) fn repository_within(repo: &str, timeout: Duration, check: Option<UploadCheck>) -> anyhow::Result<String> {
    let mut repo = repository(repo)?;
    if !repo.starts_with("s3://") {
        return Ok(repo);
    }
    if timeout != TIMEOUT_DEFAULT && !repo.contains("time-limit=") {
        add_option(&mut repo, "time-limit", &(timeout.as_secs() / 3).max(1).to_string());
    }
    if let Some(check) = check {
        let value = match check {
            UploadCheck::Crc => "crc",
            UploadCheck::Md5 => "md5",
            UploadCheck::None => "none",
        };
        add_option(&mut repo, "upload-check", value);
    }
    Ok(repo)
}

fn add_option(repo: &mut String, name: &str, value: &str) {
    let sign = if repo.contains('?') { '&' } else { '?' };
    repo.push_str(&format!("{sign}{name}={value}"));
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
