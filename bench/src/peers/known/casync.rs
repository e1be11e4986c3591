//! casync: content-defined chunks, zstd. It cannot write to S3.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::peer::Peer;
use crate::home::Home;

pub(super) struct Casync;

fn command(home: &Home, verb: &str, number: u32) -> Command {
    let mut command = Command::new("casync");
    command.arg(verb).arg(format!("--store={}", home.repository().join("default.castr").display()));
    command.arg(home.repository().join(format!("{number}.caibx")));
    command
}

impl Peer for Casync {
    fn names(&self) -> (&'static str, Option<&'static str>) {
        ("casync", None)
    }

    fn version(&self) -> Command {
        let mut command = Command::new("casync");
        command.arg("--version");
        command
    }

    fn init(&self, home: &Home) -> anyhow::Result<Vec<Command>> {
        std::fs::create_dir_all(home.repository())?;
        Ok(Vec::new())
    }

    fn back_up(&self, home: &Home, number: u32, source: &Path) -> anyhow::Result<Command> {
        let mut command = command(home, "make", number);
        command.arg(source);
        Ok(command)
    }

    fn restore(&self, home: &Home, number: u32, _: &Path, into: &Path) -> anyhow::Result<(Command, PathBuf)> {
        let (mut command, file) = (command(home, "extract", number), into.join("volume.img"));
        command.arg(&file);
        Ok((command, file))
    }
}
