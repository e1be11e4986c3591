//! The interface to a tool that is measured. Each tool has a file in `known/`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use anyhow::Context;
use serde::Deserialize;

use crate::home::Home;
use crate::process;
use crate::step::Step;
use crate::tool::{Cost, Tool};

/// The commands of a tool. A backup has a number: 0 is the full backup, the others hold the changes since it.
pub(crate) trait Peer {
    /// Its name with a repository in a directory, and with one in a bucket if it supports that.
    fn names(&self) -> (&'static str, Option<&'static str>);

    /// The command that prints its version.
    fn version(&self) -> Command;

    /// Whether it supports incremental backups.
    fn has_incrementals(&self) -> bool {
        true
    }

    /// The command that creates a repository. Writes the files that the tool needs.
    ///
    /// # Errors
    /// A file cannot be written.
    fn init(&self, home: &Home) -> anyhow::Result<Vec<Command>>;

    /// Backs up the file `source`.
    ///
    /// # Errors
    /// Something that the command needs cannot be found out.
    fn back_up(&self, home: &Home, number: u32, source: &Path) -> anyhow::Result<Command>;

    /// Restores the backup of `source` into the directory `into`. Returns the path of the restored file.
    ///
    /// # Errors
    /// As [`Self::back_up`].
    fn restore(&self, home: &Home, number: u32, source: &Path, into: &Path) -> anyhow::Result<(Command, PathBuf)>;
}

/// A peer with a repository.
pub(crate) struct Foreign {
    peer: Rc<dyn Peer>,
    home: Home,
    number: u32,
}

/// Figures that a peer prints itself, if its start should not count.
#[derive(Deserialize)]
struct Told {
    wall_seconds: f64,
    cpu_seconds: f64,
}

impl Foreign {
    /// Creates its repository.
    ///
    /// # Errors
    /// The tool fails.
    pub(crate) fn new(peer: Rc<dyn Peer>, home: Home) -> anyhow::Result<Self> {
        for mut command in peer.init(&home)? {
            process::run(&mut command, false)?;
        }
        Ok(Self { peer, home, number: 0 })
    }

    fn source(&self) -> PathBuf {
        self.home.dir.join("source").join("volume.img")
    }

    fn run(&self, mut command: Command) -> anyhow::Result<Cost> {
        let (stored, requests) = (self.home.stored_bytes()?, self.home.requests()?);
        let ran = process::run(&mut command, true)?;
        let told: Option<Told> = ran.stdout.lines().last().and_then(|line| serde_json::from_str(line).ok());
        let (wall_seconds, cpu_seconds) =
            told.map_or((ran.wall_seconds, ran.cpu_seconds), |told| (told.wall_seconds, told.cpu_seconds));
        let asked = self.home.requests()?.zip(requests).map(|(after, before)| after.saturating_sub(before));
        Ok(Cost {
            wall_seconds,
            cpu_seconds,
            cpu_told_seconds: None,
            memory_told_bytes: None,
            memory_seen_bytes: ran.memory_seen_bytes,
            stored_bytes: self.home.stored_bytes()?.saturating_sub(stored),
            requests: asked,
        })
    }

    /// Backs up the volume at `path`. All versions of a volume have the same name.
    fn back_up(&self, path: &Path, number: u32) -> anyhow::Result<Cost> {
        let source = self.source();
        std::fs::create_dir_all(self.home.dir.join("source"))?;
        // The tool may not have run yet.
        let _ = std::fs::remove_file(&source);
        std::fs::hard_link(path, &source).with_context(|| source.display().to_string())?;
        self.run(self.peer.back_up(&self.home, number, &source)?)
    }
}

impl Tool for Foreign {
    fn name(&self) -> &'static str {
        let (directory, bucket) = self.peer.names();
        bucket.filter(|_| self.home.bucket().is_some()).unwrap_or(directory)
    }

    fn steps(&self) -> &'static [Step] {
        let all: &[Step] = &[Step::Full, Step::Changed1, Step::Changed7, Step::Restore];
        if self.peer.has_incrementals() { all } else { &[Step::Full, Step::Restore] }
    }

    fn full(&mut self, path: &Path) -> anyhow::Result<Cost> {
        self.back_up(path, 0)
    }

    fn incremental(&mut self, path: &Path) -> anyhow::Result<Cost> {
        self.number += 1;
        self.back_up(path, self.number)
    }

    fn restore(&mut self, path: &Path) -> anyhow::Result<Cost> {
        let into = self.home.dir.join("restored");
        std::fs::create_dir_all(&into)?;
        let (command, file) = self.peer.restore(&self.home, self.number, &self.source(), &into)?;
        let cost = self.run(command)?;
        std::fs::rename(&file, path).with_context(|| file.display().to_string())?;
        Ok(cost)
    }
}
