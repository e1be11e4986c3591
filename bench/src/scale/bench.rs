//! The measurements, one after the other. In each, one cause grows.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use crate::stats::Spread;
use crate::{process, workspace};

/// The cause that grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Cause {
    /// The volume's size, MiB. It is almost entirely a hole.
    SizeMib,
    /// The blocks that have changed.
    ChangedBlocks,
    /// The backups in a chain.
    Backups,
    /// The volumes in a repository.
    Volumes,
}

/// The time of a command for one value of the cause.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Point {
    pub(super) cause: Cause,
    pub(super) at: u64,
    pub(super) step: &'static str,
    pub(super) wall_seconds: Spread,
    pub(super) cpu_seconds: Spread,
    pub(super) memory_bytes: u64,
}

/// A directory for measurements, and the figures.
pub(super) struct Bench {
    pub(super) septet: PathBuf,
    pub(super) dir: PathBuf,
    pub(super) rounds: u32,
    pub(super) points: Vec<Point>,
}

impl Bench {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The command with these words, on the repository of this name.
    pub(super) fn septet(&self, repository: &str, words: &[&str]) -> Command {
        let mut command = Command::new(&self.septet);
        command.args(words).arg("--repo").arg(self.path(repository));
        command
    }

    /// Backs up `source` as backup `id` of the volume `v`, without measuring.
    pub(super) fn back_up(&self, repository: &str, source: &Path, words: &[&str]) -> anyhow::Result<()> {
        let mut command = self.septet(repository, &["backup", "--volume", "v"]);
        process::run(command.args(words).arg(source), false).map(drop)
    }

    /// Measures the command that `command` returns, once in each round. `undo` runs after each.
    pub(super) fn point(
        &mut self,
        (cause, at, step): (Cause, u64, &'static str),
        command: impl Fn(&Self, u32) -> Command,
        mut undo: impl FnMut(&Self, u32) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut rounds = Vec::new();
        for round in 0..self.rounds {
            workspace::settle();
            rounds.push(process::run(&mut command(self, round), true)?);
            undo(self, round)?;
        }
        let of = |figure: fn(&process::Ran) -> f64| Spread::of(rounds.iter().map(figure));
        let (Some(wall_seconds), Some(cpu_seconds)) = (of(|ran| ran.wall_seconds), of(|ran| ran.cpu_seconds)) else {
            return Ok(());
        };
        let memory_bytes = rounds.iter().filter_map(|ran| ran.memory_seen_bytes).max().unwrap_or(0);
        eprintln!("{cause:?} {at}: {step} {wall_seconds} s");
        self.points.push(Point { cause, at, step, wall_seconds, cpu_seconds, memory_bytes });
        Ok(())
    }
}

/// Numbers up to `most`, each about three times the one before.
pub(super) fn steps_up_to(most: u64) -> Vec<u64> {
    let decades = (0..20).map(|power| 10_u64.saturating_pow(power));
    let mut steps: Vec<u64> =
        decades.flat_map(|ten| [ten, ten.saturating_mul(3)]).filter(|&step| step < most).collect();
    steps.push(most);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_end_where_they_are_to() {
        assert_eq!(steps_up_to(100), [1, 3, 10, 30, 100]);
        assert_eq!(steps_up_to(50), [1, 3, 10, 30, 50]);
        assert_eq!(steps_up_to(1), [1]);
    }
}
