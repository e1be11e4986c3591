//! restic: content-defined chunks, zstd, encrypted (it has no other mode).

use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::peer::Peer;
use crate::home::Home;
use crate::seaweed::{ACCESS_KEY, SECRET_KEY};

pub(super) struct Restic;

impl Restic {
    fn command(home: &Home) -> Command {
        let mut command = Command::new("restic");
        command.arg("--quiet").arg("--cache-dir").arg(home.dir.join("cache")).env("RESTIC_PASSWORD", "bench");
        match home.bucket() {
            Some((server, bucket)) => command
                .args(["-r", &format!("s3:{}/{bucket}", server.endpoint)])
                .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
                .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            None => command.arg("-r").arg(home.repository()),
        };
        command
    }
}

impl Peer for Restic {
    fn names(&self) -> (&'static str, Option<&'static str>) {
        ("restic", Some("restic, S3"))
    }

    fn version(&self) -> Command {
        let mut command = Command::new("restic");
        command.arg("version");
        command
    }

    fn init(&self, home: &Home) -> anyhow::Result<Vec<Command>> {
        let mut command = Self::command(home);
        command.arg("init");
        Ok(vec![command])
    }

    fn back_up(&self, home: &Home, _: u32, source: &Path) -> anyhow::Result<Command> {
        let mut command = Self::command(home);
        command.arg("backup").arg(source);
        Ok(command)
    }

    fn restore(&self, home: &Home, _: u32, source: &Path, into: &Path) -> anyhow::Result<(Command, PathBuf)> {
        let mut command = Self::command(home);
        command.args(["restore", "latest", "--target"]).arg(into);
        Ok((command, into.join(source.strip_prefix("/")?)))
    }
}
