//! Septet's goals compared with other tools and with the machine's limits, and whether they are met.

use std::fmt;

use serde::Serialize;

use super::measured::Measured;
use crate::data::Kind;
use crate::stats::Spread;
use crate::step::Step;
use crate::stored::STORED_AT_MOST;
use crate::tool::SEPTET;

/// Tools that neither hash nor compress are not backup tools, and no goal refers to them.
const COPIERS: [&str; 1] = ["qemu-img"];
/// Tools that do not compress.
const UNCOMPRESSING: [&str; 3] = ["qemu-img", "backy2", "cinder, no compression"];
const SHARE_AT_LEAST: f64 = 0.9;
const MEMORY_MIB_AT_MOST: f64 = 250.0;

/// A goal and the measured figures.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    what: String,
    figure: f64,
    goal: f64,
    /// Whether a larger figure is better.
    at_least: bool,
    pub(super) met: bool,
}

impl Verdict {
    fn new(what: String, figure: f64, goal: f64, at_least: bool) -> Self {
        let met = if at_least { figure >= goal } else { figure <= goal };
        Self { what, figure, goal, at_least, met }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.at_least { '≥' } else { '≤' };
        write!(f, "{}: {:.2} (goal {sign} {})", self.what, self.figure, self.goal)
    }
}

/// Compares the figures with every goal that they can decide.
pub(super) fn judge(measured: &Measured) -> Vec<Verdict> {
    let debian = Kind::Debian;
    let compressing = |tool: &str| !UNCOMPRESSING.contains(&tool);
    let backup = |tool: &str| !COPIERS.contains(&tool);
    let beside = [
        fastest(measured, debian, Step::Full, &compressing).map(|it| it.over("full backup, 2:1", 5.0)),
        fastest(measured, debian, Step::Full, &|tool| tool == "restic").map(|it| it.over("full backup, 2:1", 10.0)),
        fastest(measured, debian, Step::Changed1, &backup).map(|it| it.over("incremental, 1 % of 2:1", 10.0)),
        fastest(measured, debian, Step::Restore, &backup).map(|it| it.over("restore, 2:1", 3.0)),
    ];
    beside.into_iter().flatten().chain(limits(measured)).chain(memory(measured)).chain(stored(measured)).collect()
}

/// A peer, and its time as a multiple of Septet's.
struct Fastest {
    tool: &'static str,
    times: f64,
}

impl Fastest {
    fn over(self, what: &str, goal: f64) -> Verdict {
        Verdict::new(format!("{what}, against {}", self.tool), self.times, goal, true)
    }
}

fn fastest(measured: &Measured, kind: Kind, step: Step, wanted: &dyn Fn(&str) -> bool) -> Option<Fastest> {
    let rows = &measured.rows;
    let others = rows.tools.iter().map(|row| row.tool).filter(|tool| *tool != SEPTET && !tool.ends_with(", S3"));
    let times = |tool: &'static str| {
        let ratios = rows.costs(tool, kind, step).zip(rows.costs(SEPTET, kind, step));
        let times = Spread::of(ratios.map(|(theirs, ours)| theirs.wall_seconds / ours.wall_seconds))?.median;
        Some(Fastest { tool, times })
    };
    others.filter(|tool| wanted(tool)).filter_map(times).min_by(|a, b| a.times.total_cmp(&b.times))
}

fn limits(measured: &Measured) -> Vec<Verdict> {
    let limit = |roofline: &crate::roofline::Roofline| {
        let costs: Vec<_> = measured.rows.costs(SEPTET, roofline.kind, Step::Full).collect();
        let shares = costs.iter().map(|cost| roofline.limit(cost.stored_bytes).seconds / cost.wall_seconds);
        let what = roofline.limit(costs.first()?.stored_bytes).what;
        let share = Spread::of(shares)?.median;
        Some(Verdict::new(format!("share of what binds, {} ({what})", roofline.kind), share, SHARE_AT_LEAST, true))
    };
    measured.rooflines.iter().filter_map(limit).collect()
}

fn memory(measured: &Measured) -> Option<Verdict> {
    let rows = measured.rows.tools.iter().filter(|row| row.tool == SEPTET);
    let most = rows.filter_map(|row| row.cost.memory_told_bytes.max(row.cost.memory_seen_bytes)).max()?;
    Some(Verdict::new("memory MiB, the most".to_owned(), most as f64 / f64::from(1 << 20), MEMORY_MIB_AT_MOST, false))
}

fn stored(measured: &Measured) -> Vec<Verdict> {
    let one = |size: &crate::stored::Lz4Size| {
        let ours = Spread::of(measured.rows.costs(SEPTET, size.kind, Step::Full).map(|cost| cost.stored_bytes as f64))?;
        let what = format!("stored, of what lz4 -1 -B6 -BI makes, {}", size.kind);
        Some(Verdict::new(what, ours.median / size.bytes? as f64, STORED_AT_MOST, false))
    };
    measured.lz4.iter().filter_map(one).collect()
}
