//! Benji: blocks of 4 MiB, zstd at its fastest level.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::peer::Peer;
use super::program::program;
use crate::home::Home;
use crate::seaweed::{ACCESS_KEY, SECRET_KEY};

pub(super) struct Benji;

impl Benji {
    fn command(home: &Home) -> Command {
        let mut command = program("peers/benji/bin/benji");
        command.arg("-c").arg(home.dir.join("benji.yaml")).args(["--log-level", "ERROR"]);
        command
    }

    /// The part of its configuration that names the storage of the blocks.
    fn storage(home: &Home) -> String {
        match home.bucket() {
            Some((server, bucket)) => format!(
                "    module: s3\n    configuration:\n      awsAccessKeyId: {ACCESS_KEY}\n      awsSecretAccessKey: {SECRET_KEY}\n\
                 \x20     endpointUrl: {}\n      regionName: us-east-1\n      bucketName: {bucket}\n      addressingStyle: path\n\
                 \x20     disableEncodingType: false\n",
                server.endpoint
            ),
            None => format!("    module: file\n    configuration:\n      path: {}\n", home.repository().display()),
        }
    }
}

impl Peer for Benji {
    fn names(&self) -> (&'static str, Option<&'static str>) {
        ("benji", Some("benji, S3"))
    }

    fn version(&self) -> Command {
        let mut command = program("peers/benji/bin/python");
        command.args(["-c", "import importlib.metadata as m; print('benji', m.version('benji'))"]);
        command
    }

    fn init(&self, home: &Home) -> anyhow::Result<Vec<Command>> {
        std::fs::create_dir_all(home.repository())?;
        let (dir, storage) = (home.dir.display(), Self::storage(home));
        let text = format!(
            "configurationVersion: '1'\nprocessName: benji\nlogFile: {dir}/log\nblockSize: 4194304\n\
             hashFunction: BLAKE2b,digest_bits=256\ndatabaseEngine: sqlite:///{dir}/benji.sqlite\n\
             defaultStorage: s\nstorages:\n  - name: s\n    storageId: 1\n{storage}\
             \x20     activeTransforms: [zstd]\n      simultaneousWrites: 4\n      simultaneousReads: 4\n\
             transforms:\n  - name: zstd\n    module: zstd\n    configuration:\n      level: 1\n\
             ios:\n  - name: file\n    module: file\n    configuration:\n      simultaneousReads: 4\n"
        );
        std::fs::write(home.dir.join("benji.yaml"), text)?;
        let mut command = Self::command(home);
        command.arg("database-init");
        Ok(vec![command])
    }

    fn back_up(&self, home: &Home, number: u32, source: &Path) -> anyhow::Result<Command> {
        let mut command = Self::command(home);
        command.args(["backup", "-u", &format!("v{number}")]);
        if number > 0 {
            command.args(["-f", "v0"]);
        }
        command.arg(format!("file:{}", source.display())).arg("volume");
        Ok(command)
    }

    fn restore(&self, home: &Home, number: u32, _: &Path, into: &Path) -> anyhow::Result<(Command, PathBuf)> {
        let (mut command, file) = (Self::command(home), into.join("volume.img"));
        command.args(["restore", "--sparse", &format!("v{number}")]).arg(format!("file:{}", file.display()));
        Ok((command, file))
    }
}
