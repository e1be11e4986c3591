//! Cinder's chunked driver, the base of its POSIX, NFS, Swift and S3 drivers. `bench/peers/cinder_chunked.py` calls it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::peer::Peer;
use super::program::program;
use crate::home::Home;

pub(super) struct Cinder {
    pub(super) algorithm: &'static str,
}

impl Cinder {
    fn command(&self) -> Command {
        let mut command = program("cinder/bin/python");
        command.args(["-W", "ignore", concat!(env!("CARGO_MANIFEST_DIR"), "/peers/cinder_chunked.py")]);
        command.args(["--compression", self.algorithm]);
        command
    }
}

impl Peer for Cinder {
    fn names(&self) -> (&'static str, Option<&'static str>) {
        (if self.algorithm == "none" { "cinder, no compression" } else { "cinder, zlib" }, None)
    }

    fn version(&self) -> Command {
        let mut command = self.command();
        command.arg("version");
        command
    }

    fn init(&self, home: &Home) -> anyhow::Result<Vec<Command>> {
        std::fs::create_dir_all(home.repository())?;
        Ok(Vec::new())
    }

    fn back_up(&self, home: &Home, number: u32, source: &Path) -> anyhow::Result<Command> {
        let mut command = self.command();
        if number > 0 {
            command.args(["--parent", "b0"]);
        }
        command.arg(home.repository()).args(["backup", &format!("b{number}")]).arg(source);
        Ok(command)
    }

    fn restore(&self, home: &Home, number: u32, _: &Path, into: &Path) -> anyhow::Result<(Command, PathBuf)> {
        let (mut command, file) = (self.command(), into.join("volume.img"));
        command.arg(home.repository()).args(["restore", &format!("b{number}")]).arg(&file);
        Ok((command, file))
    }
}
