//! backy2: blocks of 4 MiB, not compressed. Its S3 support needs boto 2, which no current Python runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::super::peer::Peer;
use super::program::program;
use crate::home::Home;
use crate::process;

pub(super) struct Backy2;

impl Backy2 {
    fn command(home: &Home) -> Command {
        let mut command = program("peers/backy2/bin/backy2");
        command.arg("-m").arg("-c").arg(home.dir.join("backy.cfg"));
        command
    }

    /// The name that backy2 gave to the backup with this number.
    fn uid(home: &Home, number: u32) -> anyhow::Result<String> {
        let listed = process::run(Self::command(home).arg("ls"), false)?.stdout;
        let row =
            listed.lines().filter(|line| line.starts_with("version|")).find(|line| name_of(line) == number.to_string());
        let uid = row.and_then(|row| row.split('|').nth(6));
        Ok(uid.with_context(|| format!("backy2 lists no backup {number}: {listed}"))?.to_owned())
    }
}

fn name_of(row: &str) -> &str {
    row.split('|').nth(2).unwrap_or_default()
}

impl Peer for Backy2 {
    fn names(&self) -> (&'static str, Option<&'static str>) {
        ("backy2", None)
    }

    fn version(&self) -> Command {
        let mut command = program("peers/backy2/bin/backy2");
        command.arg("--version");
        command
    }

    fn init(&self, home: &Home) -> anyhow::Result<Vec<Command>> {
        let dir = home.dir.display();
        std::fs::create_dir_all(home.repository())?;
        let text = format!(
            "[DEFAULTS]\nlogfile: {dir}/log\nblock_size: 4194304\nhash_function: sha512\nlock_dir: {dir}\n\
             process_name: backy2\ndisallow_rm_when_younger_than_days: 0\n\
             [MetaBackend]\ntype: backy2.meta_backends.sql\nengine: sqlite:///{dir}/repository/backy.sqlite\n\
             [DataBackend]\ntype: backy2.data_backends.file\npath: {dir}/repository\n\
             simultaneous_writes: 5\nsimultaneous_reads: 5\n\
             [NBD]\ncachedir: {dir}\n\
             [io_file]\ntype: backy2.io.file\nsimultaneous_reads: 5\n"
        );
        std::fs::write(home.dir.join("backy.cfg"), text)?;
        let mut command = Self::command(home);
        command.arg("initdb");
        Ok(vec![command])
    }

    fn back_up(&self, home: &Home, number: u32, source: &Path) -> anyhow::Result<Command> {
        let mut command = Self::command(home);
        command.arg("backup");
        if number > 0 {
            command.args(["-f", &Self::uid(home, 0)?]);
        }
        command.arg(format!("file://{}", source.display())).arg(number.to_string());
        Ok(command)
    }

    fn restore(&self, home: &Home, number: u32, _: &Path, into: &Path) -> anyhow::Result<(Command, PathBuf)> {
        let (mut command, file) = (Self::command(home), into.join("volume.img"));
        command.args(["restore", "-s", &Self::uid(home, number)?]).arg(format!("file://{}", file.display()));
        Ok((command, file))
    }
}
