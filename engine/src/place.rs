//! Converts paths and repositories from the form in which the user gives them to the form that the agents get.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use septet_ipc::Failure;
use septet_volume::VolumeUrl;

use crate::settings::TIMEOUT_DEFAULT;
use crate::words::words;
use crate::{BadRequest, Result};

/// How to connect to a Ceph cluster. Ceph's own settings apply to fields that are not set (`/etc/ceph/ceph.conf`,
/// `CEPH_CONF`, `CEPH_ARGS`, `client.admin`). The image's name takes precedence over Ceph's settings.
#[derive(Debug, Clone, Default)]
pub struct CephAccess {
    /// The Ceph configuration file.
    pub conf: Option<String>,
    /// The Ceph user, without "client.".
    pub user: Option<String>,
}

/// How uploads to S3 are protected in transit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadCheck {
    /// By a CRC. Uploads are refused if the server does not check it.
    Crc,
    /// By an MD5.
    Md5,
    /// Not protected.
    None,
}

/// Parses the name of a volume: returns the absolute form of a path, or an image with all connection settings.
///
/// # Errors
/// If the text names no volume.
pub fn volume(path: &Path, ceph: &CephAccess) -> Result<VolumeUrl> {
    let text = path
        .to_str()
        .ok_or_else(|| BadRequest(format!("the path {path:?} is not UTF-8: give it another name, or a link to it")))?;
    match text.parse().map_err(|error| BadRequest(format!("{error}")))? {
        VolumeUrl::Image(mut image) => {
            image.conf = either(image.conf, &ceph.conf, text, "--ceph-conf")?.map(|conf| absolute_text(&conf));
            image.user = either(image.user, &ceph.user, text, "--ceph-user")?;
            Ok(VolumeUrl::Image(image))
        }
        VolumeUrl::Path(_) if ceph.conf.is_some() || ceph.user.is_some() => {
            Err(BadRequest(format!("{text}: --ceph-conf and --ceph-user are for rbd:POOL/IMAGE")).into())
        }
        VolumeUrl::Path(path) => Ok(volume_path(&path)?.into()),
    }
}

/// The value from the volume's name, or else from the option `name`. The two must not contradict each other.
fn either(said: Option<String>, given: &Option<String>, text: &str, name: &str) -> Result<Option<String>, BadRequest> {
    if said.is_some() && given.is_some() && said != *given {
        return Err(BadRequest(format!("{text} and {name} contradict each other: leave one out")));
    }
    Ok(said.or_else(|| given.clone()))
}

/// The absolute form of a path. The agents run in the same directory, but a manifest must be valid elsewhere and later.
fn absolute_text(path: &str) -> String {
    std::path::absolute(path).map_or_else(|_| path.to_owned(), |path| path.to_string_lossy().into_owned())
}

/// The absolute form of a path to a volume. Links are kept, because `/dev/disk/by-id/…` is more stable than its current
/// target.
fn volume_path(path: &Path) -> anyhow::Result<PathBuf> {
    if path.as_os_str().is_empty() {
        return Err(BadRequest("an empty path names no volume".to_owned()).into());
    }
    absolute(path)
}

/// The repository for agents whose requests may take up to `timeout`. The S3 client must give up and report the cause
/// before the supervisor does. Each command may need two requests, and a stalled one a third.
///
/// # Errors
/// If the text names no repository.
pub fn repository_within(repo: &str, timeout: Duration, check: Option<UploadCheck>) -> Result<String> {
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

/// Returns the repository's URL, or the absolute form of its path.
///
/// # Errors
/// If the text names no repository.
pub fn repository(repo: &str) -> Result<String> {
    if repo.is_empty() {
        return Err(BadRequest("an empty --repo (or SEPTET_REPO) names no repository".to_owned()).into());
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

/// Refuses a source that does not exist, before a repository is created for it. The reader checks what kind of source
/// it is and whether it can be read.
pub(super) fn check_exists(source: &VolumeUrl) -> anyhow::Result<()> {
    let Some(path) = source.path() else { return Ok(()) };
    let Err(error) = std::fs::metadata(path) else { return Ok(()) };
    bail!(Failure::volume(match error.kind() {
        ErrorKind::NotFound => format!("{source} does not exist: check the path"),
        _ => format!("{source}: cannot inspect the source: {}", words(&error)),
    }))
}

/// The real path of a file, even if the file itself does not exist yet; none if its directory is missing.
pub(super) fn real_path(path: &Path) -> Option<PathBuf> {
    let beside = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(beside)
}
