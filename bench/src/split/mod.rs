//! The price of separate processes: Septet compared with the same work in one process, and what it would save to hash
//! and compress a block while it is in a cache.

pub(crate) mod one_process;

use std::fmt;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

use crate::data::{Kind, Volume};
use crate::home::Home;
use crate::machine::Machine;
use crate::stats::Spread;
use crate::tool::{Septet, Tool};
use crate::{process, workspace};

/// Enough blocks in each stream that none is still in a cache when it is compressed.
const COLD_BLOCKS: usize = 32;

/// The ways to do the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    Septet,
    OneProcess,
    OneProcessCold,
}

impl Way {
    const ALL: [Self; 3] = [Self::Septet, Self::OneProcess, Self::OneProcessCold];
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Septet => "septet",
            Self::OneProcess => "one process, in the cache",
            Self::OneProcessCold => "one process, not in the cache",
        })
    }
}

/// The cost of a full backup in one round.
#[derive(Debug, Serialize)]
struct Row {
    round: u32,
    kind: Kind,
    way: Way,
    wall_seconds: f64,
    cpu_seconds: f64,
}

/// All figures.
#[derive(Debug, Serialize)]
pub(crate) struct SplitReport {
    machine: Machine,
    rows: Vec<Row>,
}

/// Makes full backups of each volume with each way in turn.
///
/// # Errors
/// A backup fails.
pub(crate) fn measure(septet: &Path, volumes: &[Volume], dir: &Path, rounds: u32) -> anyhow::Result<SplitReport> {
    let work = dir.join("work");
    let mut rows = Vec::new();
    for round in 0..rounds {
        for volume in volumes {
            for way in Way::ALL {
                let (wall_seconds, cpu_seconds) = take(way, septet, volume, &work)?;
                rows.push(Row { round, kind: volume.kind, way, wall_seconds, cpu_seconds });
                workspace::remove(&work)?;
            }
        }
    }
    Ok(SplitReport { machine: Machine::here(dir), rows })
}

fn take(way: Way, septet: &Path, volume: &Volume, work: &Path) -> anyhow::Result<(f64, f64)> {
    let home = Home::make(work, None)?;
    workspace::settle();
    let at_once = match way {
        Way::Septet => {
            let cost = Septet::new(septet, home, false).full(&volume.original)?;
            return Ok((cost.wall_seconds, cost.cpu_seconds));
        }
        Way::OneProcess => 1,
        Way::OneProcessCold => COLD_BLOCKS,
    };
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("one-process").arg(&volume.original).arg(home.dir.join("output")).arg(at_once.to_string());
    let ran = process::run(&mut command, false)?;
    Ok((ran.wall_seconds, ran.cpu_seconds))
}

impl SplitReport {
    /// The figures of one way on one kind of volume, one for each round, and septet's divided by them.
    fn spreads(&self, kind: Kind, way: Way, figure: impl Fn(&Row) -> f64) -> Option<(Spread, Spread)> {
        let of = |way| self.rows.iter().filter(move |row| row.kind == kind && row.way == way);
        let figures = Spread::of(of(way).map(&figure))?;
        let ratios = of(Way::Septet).zip(of(way)).map(|(septet, row)| figure(septet) / figure(row));
        Some((figures, Spread::of(ratios)?))
    }
}

impl fmt::Display for SplitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}", self.machine.date, self.machine.line())?;
        writeln!(f, "a full backup; × is septet against it in the same round; median (least–greatest)\n")?;
        writeln!(f, "  {:<16}{:<32}{:>20}{:>20}{:>20}{:>20}", "", "", "wall s", "×", "CPU s", "×")?;
        for kind in Kind::ALL {
            for way in Way::ALL {
                let wall = self.spreads(kind, way, |row| row.wall_seconds);
                let cpu = self.spreads(kind, way, |row| row.cpu_seconds);
                let (Some((wall, wall_ratio)), Some((cpu, cpu_ratio))) = (wall, cpu) else { continue };
                write!(f, "  {:<16}{way:<32}", kind.to_string())?;
                for spread in [wall, wall_ratio, cpu, cpu_ratio] {
                    write!(f, "{:>20}", spread.to_string())?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}
