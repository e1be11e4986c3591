//! `qemu-img convert` to qcow2, with O_DIRECT and many parallel requests, with or without zstd. It computes no hashes
//! and has no incrementals of a file.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::peer::Peer;
use crate::home::Home;

pub(super) struct Qemu {
    pub(super) compresses: bool,
}

const DIRECT: [&str; 6] = ["-T", "none", "-t", "none", "-m", "8"];

impl Peer for Qemu {
    fn names(&self) -> (&'static str, Option<&'static str>) {
        (if self.compresses { "qemu-img, zstd" } else { "qemu-img" }, None)
    }

    fn version(&self) -> Command {
        let mut command = Command::new("qemu-img");
        command.arg("--version");
        command
    }

    fn has_incrementals(&self) -> bool {
        false
    }

    fn init(&self, home: &Home) -> anyhow::Result<Vec<Command>> {
        std::fs::create_dir_all(home.repository())?;
        Ok(Vec::new())
    }

    fn back_up(&self, home: &Home, _: u32, source: &Path) -> anyhow::Result<Command> {
        let mut command = Command::new("qemu-img");
        command.arg("convert").args(DIRECT).args(["-W", "-f", "raw", "-O", "qcow2"]);
        if self.compresses {
            command.args(["-c", "-o", "compression_type=zstd"]);
        }
        command.arg(source).arg(home.repository().join("volume.qcow2"));
        Ok(command)
    }

    fn restore(&self, home: &Home, _: u32, _: &Path, into: &Path) -> anyhow::Result<(Command, PathBuf)> {
        let (mut command, file) = (Command::new("qemu-img"), into.join("volume.img"));
        command.arg("convert").args(DIRECT).args(["-W", "-f", "qcow2", "-O", "raw"]);
        command.arg(home.repository().join("volume.qcow2")).arg(&file);
        Ok((command, file))
    }
}
