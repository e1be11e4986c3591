//! rustic: restic's format in Rust, with fixed pieces of 4 MiB, as is usual for images.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::peer::Peer;
use super::program::program;
use crate::home::Home;
use crate::seaweed::{ACCESS_KEY, SECRET_KEY};

pub(super) struct Rustic;

impl Rustic {
    fn command(home: &Home) -> Command {
        let mut command = program("peers/rustic/bin/rustic");
        command.args(["--no-progress", "--log-level", "warn", "--password", "bench"]);
        command.arg("--cache-dir").arg(home.dir.join("cache")).env("HOME", &home.dir);
        match home.bucket() {
            Some((server, bucket)) => command
                .args(["-r", "opendal:s3"])
                .env("OPENDAL_BUCKET", bucket)
                .env("OPENDAL_ENDPOINT", &server.endpoint)
                .env("OPENDAL_REGION", "us-east-1")
                .env("OPENDAL_ACCESS_KEY_ID", ACCESS_KEY)
                .env("OPENDAL_SECRET_ACCESS_KEY", SECRET_KEY),
            None => command.arg("-r").arg(home.repository()),
        };
        command
    }
}

impl Peer for Rustic {
    fn names(&self) -> (&'static str, Option<&'static str>) {
        ("rustic", Some("rustic, S3"))
    }

    fn version(&self) -> Command {
        let mut command = program("peers/rustic/bin/rustic");
        command.arg("--version");
        command
    }

    fn init(&self, home: &Home) -> anyhow::Result<Vec<Command>> {
        let mut command = Self::command(home);
        command.args(["init", "--set-chunker", "fixed_size", "--set-chunk-size", "4MiB"]);
        Ok(vec![command])
    }

    fn back_up(&self, home: &Home, _: u32, source: &Path) -> anyhow::Result<Command> {
        let mut command = Self::command(home);
        command.arg("backup").arg(source);
        Ok(command)
    }

    fn restore(&self, home: &Home, _: u32, source: &Path, into: &Path) -> anyhow::Result<(Command, PathBuf)> {
        let mut command = Self::command(home);
        command.arg("restore").arg(format!("latest:{}", source.display())).arg(into.join("volume.img"));
        Ok((command, into.join("volume.img")))
    }
}
