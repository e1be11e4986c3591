//! borg: pieces of 4 MiB, LZ4, not encrypted. It does not support S3.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::peer::Peer;
use crate::home::Home;

pub(super) struct Borg;

impl Borg {
    fn command(home: &Home) -> Command {
        let mut command = Command::new("borg");
        command.env("BORG_BASE_DIR", &home.dir).env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes");
        command.env("BORG_REPO", home.repository());
        command
    }
}

impl Peer for Borg {
    fn names(&self) -> (&'static str, Option<&'static str>) {
        ("borg", None)
    }

    fn version(&self) -> Command {
        let mut command = Command::new("borg");
        command.arg("--version");
        command
    }

    fn init(&self, home: &Home) -> anyhow::Result<Vec<Command>> {
        let mut command = Self::command(home);
        command.args(["init", "-e", "none"]);
        Ok(vec![command])
    }

    fn back_up(&self, home: &Home, number: u32, source: &Path) -> anyhow::Result<Command> {
        let mut command = Self::command(home);
        command.args(["create", "--read-special", "--sparse", "--chunker-params", "fixed,4194304"]);
        command.args(["--compression", "lz4", &format!("::{number}")]).arg(source);
        Ok(command)
    }

    fn restore(&self, home: &Home, number: u32, source: &Path, into: &Path) -> anyhow::Result<(Command, PathBuf)> {
        let mut command = Self::command(home);
        command.args(["extract", "--sparse", &format!("::{number}")]).current_dir(into);
        Ok((command, into.join(source.strip_prefix("/")?)))
    }
}
