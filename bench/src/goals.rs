//! Septet's goals, as ratios to the bare work in the same round on the same data.

use serde::Serialize;

use crate::bare::Work;
use crate::data::Kind;
use crate::rounds::Rows;
use crate::stats::Spread;
use crate::step::Step;

/// The limit of a step's CPU time, as a multiple of some bare work on one thread.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Goal {
    pub(crate) kind: Kind,
    pub(crate) step: Step,
    pub(crate) against: Work,
    pub(crate) at_most: f64,
}

/// All goals.
pub(crate) const GOALS: [Goal; 5] = [
    Goal { kind: Kind::Debian, step: Step::Full, against: Work::Lz4, at_most: 1.3 },
    Goal { kind: Kind::Incompressible, step: Step::Full, against: Work::Blake3, at_most: 2.0 },
    Goal { kind: Kind::Zeros, step: Step::Full, against: Work::Blake3, at_most: 1.5 },
    Goal { kind: Kind::Incompressible, step: Step::Unchanged, against: Work::Blake3, at_most: 1.5 },
    Goal { kind: Kind::Debian, step: Step::Unchanged, against: Work::Blake3, at_most: 1.5 },
];

/// A goal and the measured figures.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    #[serde(flatten)]
    pub(crate) goal: Goal,
    pub(crate) ratio: Spread,
    /// By the median.
    pub(crate) met: bool,
}

/// Compares the figures of `tool` with every goal whose kind of volume was measured.
pub(crate) fn judge(rows: &Rows, tool: &str) -> Vec<Verdict> {
    let judge = |goal: Goal| {
        let costs = rows.costs(tool, goal.kind, goal.step);
        let bare = rows.bare(goal.kind, goal.against);
        let ratio = Spread::of(costs.zip(bare).map(|(cost, bare)| cost.cpu() / bare.cpu_seconds))?;
        Some(Verdict { goal, ratio, met: ratio.median <= goal.at_most })
    };
    GOALS.into_iter().filter_map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bare::{Bare, BareRow};
    use crate::rounds::ToolRow;
    use crate::rounds::tests::cost;

    fn rounds(figures: &[(f64, f64)]) -> Rows {
        let (kind, work, tool, step) = (Kind::Debian, Work::Lz4, "septet", Step::Full);
        let bare = |cpu_seconds| Bare { bytes: 1, output_bytes: 1, cpu_seconds };
        let figures = (0..).zip(figures);
        Rows {
            bare: figures.clone().map(|(round, of)| BareRow { round, kind, work, bare: bare(of.0) }).collect(),
            tools: figures.map(|(round, of)| ToolRow { round, kind, tool, step, cost: cost(of.1) }).collect(),
        }
    }

    /// The machine was half as fast in the second round. The ratio is unaffected.
    #[test]
    fn ratios_are_taken_within_a_round() {
        let verdicts = judge(&rounds(&[(1.0, 1.25), (2.0, 2.5)]), "septet");
        assert_eq!(verdicts.len(), 1, "what was not measured is not judged");
        assert_eq!(verdicts[0].ratio, Spread { median: 1.25, min: 1.25, max: 1.25 });
        assert!(verdicts[0].met);
    }

    #[test]
    fn the_median_decides() {
        assert!(judge(&rounds(&[(1.0, 1.2), (1.0, 1.3), (1.0, 9.0)]), "septet")[0].met);
        assert!(!judge(&rounds(&[(1.0, 1.0), (1.0, 1.31), (1.0, 1.4)]), "septet")[0].met);
        assert!(judge(&rounds(&[(1.0, 1.0)]), "another").is_empty());
    }
}
