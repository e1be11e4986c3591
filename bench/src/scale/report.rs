//! The report of `scale`: a Markdown table and a chart.

use std::fmt::{self, Formatter};
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::bench::{Cause, Point};
use crate::chart::{Panel, Series, panels};
use crate::machine::Machine;
use crate::units::Size;

const CAUSES: [(Cause, &str); 4] = [
    (Cause::SizeMib, "Volume size (sparse, 64 MiB of data)"),
    (Cause::ChangedBlocks, "Changed blocks (1 MiB each)"),
    (Cause::Backups, "Backups in the chain"),
    (Cause::Volumes, "Volumes in the repository"),
];

/// All figures.
#[derive(Debug, Serialize)]
pub(crate) struct ScaleReport {
    pub(super) machine: Machine,
    pub(super) rounds: u32,
    pub(super) points: Vec<Point>,
}

impl ScaleReport {
    /// Writes `scale.md`, `scale.json` and `scale.svg` into `dir`.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub(crate) fn write(&self, dir: &Path) -> anyhow::Result<()> {
        let write = |name: &str, text: String| {
            let path = dir.join(name);
            std::fs::write(&path, text).with_context(|| path.display().to_string())
        };
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        write("scale.md", self.to_string())?;
        write("scale.json", serde_json::to_string_pretty(self)? + "\n")?;
        write("scale.svg", panels("What a run takes when … grows", &CAUSES.map(|of| self.panel(of)), &[self.head()]))
    }

    fn head(&self) -> String {
        format!("{}, {}; medians of {}", self.machine.date, self.machine.line(), self.rounds)
    }

    fn panel(&self, (cause, title): (Cause, &str)) -> Panel {
        let points = || self.points.iter().filter(|point| point.cause == cause);
        let mut steps: Vec<&str> = Vec::new();
        let mut ticks: Vec<(f64, String)> = Vec::new();
        for point in points() {
            if !steps.contains(&point.step) {
                steps.push(point.step);
            }
            let tick = (point.at as f64, label(cause, point.at));
            // Every second name, if there are many.
            if !ticks.contains(&tick) && (cause == Cause::SizeMib || point.at.to_string().starts_with('1')) {
                ticks.push(tick);
            }
        }
        let series = |step: &&str| {
            let of_step = points().filter(|point| point.step == *step);
            let points = of_step.map(|point| (point.at as f64, point.wall_seconds.median)).collect();
            Series { name: (*step).to_owned(), points }
        };
        Panel { title: title.to_owned(), ticks, series: steps.iter().map(series).collect() }
    }
}

fn label(cause: Cause, at: u64) -> String {
    if cause == Cause::SizeMib { Size(at << 20).to_string() } else { at.to_string() }
}

impl fmt::Display for ScaleReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "# What grows with what\n\n{}\n", self.head())?;
        for (cause, title) in CAUSES {
            writeln!(f, "## {title}\n\n| | step | wall s | CPU s | memory MiB |\n|---|---|---|---|---|")?;
            for point in self.points.iter().filter(|point| point.cause == cause) {
                let Point { at, step, wall_seconds, cpu_seconds, memory_bytes, .. } = point;
                let (at, cpu, mib) = (label(cause, *at), cpu_seconds.median, memory_bytes >> 20);
                writeln!(f, "| {at} | {step} | {wall_seconds} | {cpu:.2} | {mib} |")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
