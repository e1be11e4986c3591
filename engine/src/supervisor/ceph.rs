//! `septet-rbd`, the binary that talks to Ceph: where it is, which environment variables it gets, and the error if it
//! can't be started.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use septet_ipc::{AgentKind, Begin};
use septet_volume::VolumeUrl;

use crate::words::words;

const NAME: &str = "septet-rbd";
/// The name of the Debian package that the binary needs, and how to install it.
const INSTALL: &str = "install librbd1 (Debian, Ubuntu: apt-get install librbd1; RHEL: dnf install librbd1)";
/// The variables that the binary gets beside all `CEPH_…`: they may locate the configuration, keys and libraries.
const VARIABLES: [&str; 5] = ["PATH", "LANG", "RUST_BACKTRACE", "HOME", "LD_LIBRARY_PATH"];

/// Whether this agent of the job talks to Ceph.
pub(crate) fn speaks(kind: AgentKind, begin: &Begin) -> bool {
    match (kind, begin) {
        (AgentKind::Reader, Begin::Backup(job)) => job.spool.is_none() && is_image(&job.source),
        (AgentKind::Volumewriter, Begin::Restore(job)) => is_image(&job.target),
        _ => false,
    }
}

fn is_image(volume: &str) -> bool {
    volume.parse().is_ok_and(|url: VolumeUrl| url.image().is_some())
}

/// The path of the binary: beside this one, otherwise found by PATH.
pub(crate) fn program() -> PathBuf {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(NAME)));
    beside.filter(|path| path.exists()).unwrap_or_else(|| Path::new(NAME).to_owned())
}

/// Sets the environment of the binary, with the time limit of its operations.
pub(crate) fn set_environment(command: &mut Command, timeout: Duration) {
    let seen = |name: &str| name.starts_with("CEPH_") || VARIABLES.contains(&name);
    command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(seen)));
    command.env("SEPTET_TIMEOUT_SECONDS", timeout.as_secs().to_string());
    command.env("SEPTET_VERSION", env!("CARGO_PKG_VERSION"));
}

/// The error if the binary could not be started.
pub(crate) fn not_started(error: &std::io::Error) -> std::io::Error {
    std::io::Error::other(if error.kind() == std::io::ErrorKind::NotFound {
        format!("rbd:… needs {NAME}, which is neither beside septet nor in PATH: copy it there, and {INSTALL}")
    } else {
        format!("{} can't be started: {}", program().display(), words(error))
    })
}

/// The advice for the user, if `said` is a dynamic linker's message about a missing library.
pub(crate) fn missing_library(said: &str) -> Option<String> {
    let line = said.lines().find(|line| line.contains("error while loading shared libraries"))?;
    let library = line.split(": ").find(|part| part.contains(".so")).unwrap_or("a library");
    Some(format!("{NAME} needs {library}, which is not installed: {INSTALL}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named_with_what_to_install() {
        let said = "septet-reader: error while loading shared libraries: librbd.so.1: cannot open shared object file: No such file or directory";
        let words = missing_library(said).unwrap();
        assert!(words.contains("librbd.so.1") && words.contains("apt-get install librbd1"), "{words}");
        assert_eq!(missing_library("killed"), None);
    }
}
