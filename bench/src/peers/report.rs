//! The report of `peers`: Markdown tables, goals, and the chart for the README.

use std::fmt::{self, Formatter};
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::measured::Measured;
use crate::chart::{Bar, Group, bars};
use crate::data::Kind;
use crate::report::said;
use crate::stats::Spread;
use crate::step::Step;
use crate::stored::STORED_AT_MOST;
use crate::tool::{Cost, SEPTET};

use super::verdict::{Verdict, judge};

const STEPS: [Step; 4] = [Step::Full, Step::Changed1, Step::Changed7, Step::Restore];
const MB: f64 = 1e6;

/// All figures and their evaluation.
#[derive(Debug, Serialize)]
pub(crate) struct PeersReport {
    goals: Vec<Verdict>,
    #[serde(flatten)]
    measured: Measured,
}

impl PeersReport {
    pub(super) fn of(measured: Measured) -> Self {
        Self { goals: judge(&measured), measured }
    }

    /// Writes `peers.md`, `peers.json` and `peers.svg` into `dir`.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub(crate) fn write(&self, dir: &Path) -> anyhow::Result<()> {
        let write = |name: &str, text: String| {
            let path = dir.join(name);
            std::fs::write(&path, text).with_context(|| path.display().to_string())
        };
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        write("peers.md", self.to_string())?;
        write("peers.json", serde_json::to_string_pretty(self)? + "\n")?;
        write("peers.svg", self.chart())
    }

    fn tools(&self) -> Vec<&'static str> {
        let mut tools: Vec<&'static str> = Vec::new();
        for row in &self.measured.rows.tools {
            if !tools.contains(&row.tool) {
                tools.push(row.tool);
            }
        }
        tools
    }

    fn spread(&self, tool: &str, kind: Kind, step: Step, figure: fn(&Cost) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.measured.rows.costs(tool, kind, step).filter_map(figure))
    }

    /// The time as a multiple of Septet's, for each round.
    fn ratio(&self, tool: &str, kind: Kind, step: Step) -> Option<Spread> {
        let ours = self.measured.rows.costs(our_match(tool), kind, step);
        let theirs = self.measured.rows.costs(tool, kind, step);
        Spread::of(theirs.zip(ours).map(|(theirs, ours)| theirs.wall_seconds / ours.wall_seconds))
    }

    fn kinds(&self) -> Vec<Kind> {
        self.measured.rooflines.iter().map(|roofline| roofline.kind).collect()
    }

    fn head(&self) -> Vec<String> {
        let Measured { machine, volume_bytes, rounds, .. } = &self.measured;
        vec![
            format!("{}, {}", machine.date, machine.line()),
            format!("volumes of {volume_bytes}, {rounds} rounds by turns: medians (least–greatest)"),
        ]
    }

    fn chart(&self) -> String {
        let steps =
            [(Step::Full, "full backup"), (Step::Changed1, "incremental, 1 % changed"), (Step::Restore, "restore")];
        let kind = Kind::Debian;
        let group = |(step, title): (Step, &str)| {
            let bar = |tool: &&'static str| {
                let seconds = self.spread(tool, kind, step, |cost| Some(cost.wall_seconds))?.median;
                let times = self.ratio(tool, kind, step).filter(|_| !is_ours(tool));
                let text = times.map_or(format!("{seconds:.2} s"), |of| format!("{seconds:.2} s, × {:.1}", of.median));
                Some(Bar { label: (*tool).to_owned(), value: seconds, text, stands_out: is_ours(tool) })
            };
            let mut bars: Vec<Bar> = self.tools().iter().filter_map(bar).collect();
            bars.sort_by(|a, b| a.value.total_cmp(&b.value));
            Group { title: title.to_owned(), bars }
        };
        let title = format!("A Debian root image of {}: seconds", self.measured.volume_bytes);
        bars(&title, &steps.map(group), &self.head())
    }

    fn kind(&self, f: &mut Formatter<'_>, kind: Kind) -> fmt::Result {
        writeln!(f, "\n## {kind}\n")?;
        writeln!(f, "| | step | wall s | × Septet | CPU s | memory MiB | stored MiB | requests |")?;
        writeln!(f, "|---|---|---|---|---|---|---|---|")?;
        for tool in self.tools() {
            for step in STEPS {
                self.row(f, tool, kind, step)?;
            }
        }
        Ok(())
    }

    fn row(&self, f: &mut Formatter<'_>, tool: &str, kind: Kind, step: Step) -> fmt::Result {
        let of = |figure| self.spread(tool, kind, step, figure);
        let Some(wall) = of(|cost| Some(cost.wall_seconds)) else { return Ok(()) };
        let plain = |spread: Option<Spread>, digits: usize| {
            spread.map_or("-".to_owned(), |spread| format!("{:.digits$}", spread.median))
        };
        let ratio = self.ratio(tool, kind, step).filter(|_| !is_ours(tool));
        writeln!(
            f,
            "| {tool} | {step} | {wall} | {} | {} | {} | {} | {} |",
            ratio.map_or("1".to_owned(), |ratio| format!("{ratio:.1}")),
            plain(of(|cost| Some(cost.cpu())), 2),
            plain(of(|cost| Some(cost.memory_seen_bytes? as f64 / f64::from(1 << 20))), 0),
            plain(of(|cost| Some(cost.stored_bytes as f64 / f64::from(1 << 20))), 1),
            plain(of(|cost| Some(cost.requests? as f64)), 0),
        )
    }

    /// The machine's limits, and the share of them that Septet's full backup reaches.
    fn roofline(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n## What binds\n\nRates in MB/s, each alone; the share is the limit's time in that of a full backup.\n"
        )?;
        writeln!(
            f,
            "| | disk read | write | both | BLAKE3 | LZ4 | memcpy | TCP | what binds | Septet | share | share of LZ4 and BLAKE3 |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|---|---|---|")?;
        for roofline in &self.measured.rooflines {
            let rates = [
                roofline.read,
                roofline.write,
                roofline.copy,
                roofline.blake3,
                roofline.lz4,
                roofline.memcpy,
                roofline.tcp,
            ];
            write!(f, "| {}", roofline.kind)?;
            rates.iter().try_for_each(|rate| write!(f, " | {:.0}", rate / MB))?;
            let of = |figure| self.spread(SEPTET, roofline.kind, Step::Full, figure);
            let wall = of(|cost| Some(cost.wall_seconds)).map_or(f64::NAN, |wall| wall.median);
            let stored = of(|cost| Some(cost.stored_bytes as f64)).map_or(0.0, |stored| stored.median);
            let limit = roofline.limit(whole(stored));
            let [rate, share, work] =
                [roofline.bytes as f64 / wall / MB, 100.0 * limit.seconds / wall, 100.0 * limit.work_seconds / wall];
            writeln!(f, " | {} | {rate:.0} | {share:.0} % | {work:.0} % |", limit.what)?;
        }
        Ok(())
    }

    fn stored(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n## Stored size\n\nOf a full backup, against `lz4 -1 -B6 -BI`; goal: at most {STORED_AT_MOST}.\n"
        )?;
        writeln!(f, "| | Septet MiB | lz4 MiB | ratio |\n|---|---|---|---|")?;
        for size in &self.measured.lz4 {
            let ours = self.spread(SEPTET, size.kind, Step::Full, |cost| Some(cost.stored_bytes as f64));
            let (Some(ours), Some(lz4)) = (ours, size.bytes) else {
                writeln!(f, "| {} | - | lz4 is not installed | - |", size.kind)?;
                continue;
            };
            let mib = f64::from(1 << 20);
            let (ours, lz4) = (ours.median / mib, lz4 as f64 / mib);
            writeln!(f, "| {} | {ours:.1} | {lz4:.1} | {:.3} |", size.kind, ours / lz4)?;
        }
        Ok(())
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of bytes")]
fn whole(bytes: f64) -> u64 {
    bytes as u64
}

fn is_ours(tool: &str) -> bool {
    tool.starts_with(SEPTET)
}

/// Septet with the same kind of repository.
fn our_match(tool: &str) -> &'static str {
    if tool.ends_with(", S3") { crate::tool::SEPTET_S3 } else { SEPTET }
}

impl fmt::Display for PeersReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Septet and its peers, side by side\n")?;
        self.head().iter().try_for_each(|line| writeln!(f, "{line}  "))?;
        for kind in self.kinds() {
            self.kind(f, kind)?;
        }
        self.roofline(f)?;
        self.stored(f)?;
        if let Some(rbd) = &self.measured.rbd {
            writeln!(f, "\n## Beside `rbd export`\n\n```text\n{rbd}```")?;
        }
        writeln!(f, "\n## Goals\n")?;
        for goal in &self.goals {
            writeln!(f, "- {goal}: {}", said(goal.met))?;
        }
        writeln!(f, "\n## Who was measured\n")?;
        self.measured.versions.iter().try_for_each(|(tool, version)| writeln!(f, "- {tool}: {version}"))?;
        self.measured.absent.iter().try_for_each(|absent| writeln!(f, "- without {}: {}", absent.tool, absent.why))?;
        writeln!(f, "- every restore was compared with its volume, bit for bit")?;
        writeln!(
            f,
            "- CPU and memory are those of all processes of a step, without the S3 server; stored: by how much it grew"
        )
    }
}
