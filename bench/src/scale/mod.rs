//! How cost grows with the volume's size, the changes, the length of the chain, and the number of volumes.
//!
//! Every point is the time of whole runs of `septet`, start and end included.

mod chain;
mod changes;
mod report;
mod sizes;
mod volumes;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use crate::args::Scale;
use crate::machine::Machine;
use crate::stats::Spread;
use crate::{process, workspace};
pub(crate) use report::ScaleReport;

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Cause {
    /// The volume's size, MiB; it is a hole but for a little.
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
struct Point {
    cause: Cause,
    at: u64,
    step: &'static str,
    wall_seconds: Spread,
    cpu_seconds: Spread,
    memory_bytes: u64,
}

/// Measures all four.
///
/// # Errors
/// Too little room, or a command that fails.
pub(crate) fn measure(args: &Scale, septet: &Path) -> anyhow::Result<ScaleReport> {
    let work = args.dir.join("work-scale");
    workspace::remove(&work)?;
    workspace::make_room(&work, 4 * args.changed.0 + (1 << 30))?;
    let mut bench = Bench { septet: septet.to_owned(), dir: work.clone(), rounds: args.rounds, points: Vec::new() };
    sizes::measure(&mut bench, args.size, args.seed)?;
    changes::measure(&mut bench, args.changed, args.seed)?;
    chain::measure(&mut bench, args.chain, args.seed)?;
    volumes::measure(&mut bench, args.volumes, args.seed)?;
    workspace::remove(&work)?;
    Ok(ScaleReport { machine: Machine::here(&args.dir), rounds: args.rounds, points: bench.points })
}

struct Bench {
    septet: PathBuf,
    dir: PathBuf,
    rounds: u32,
    points: Vec<Point>,
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The command with these words on the repository of that name.
    fn septet(&self, repository: &str, words: &[&str]) -> Command {
        let mut command = Command::new(&self.septet);
        command.args(words).arg("--repo").arg(self.path(repository));
        command
    }

    /// Backs `source` up as backup `id` of the volume `v`; it is not measured.
    fn back_up(&self, repository: &str, source: &Path, words: &[&str]) -> anyhow::Result<()> {
        let mut command = self.septet(repository, &["backup", "--volume", "v"]);
        process::run(command.args(words).arg(source), false).map(drop)
    }

    /// Measures the command that `command` returns, once a round; `undo` runs after each.
    fn point(
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
fn steps_up_to(most: u64) -> Vec<u64> {
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
