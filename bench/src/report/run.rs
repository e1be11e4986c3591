//! The report of `run`: a table for each kind of volume, then the goals.

use std::fmt;

use serde::Serialize;

use super::said;
use crate::bare::Work;
use crate::data::Kind;
use crate::goals::{self, Verdict};
use crate::machine::Machine;
use crate::messages::{Messages, SHARE_AT_MOST, Share};
use crate::rounds::Rows;
use crate::stats::Spread;
use crate::step::Step;
use crate::tool::{Cost, SEPTET};
use crate::units::{Size, ms_per_gb};

/// The report of a run; as JSON, all its figures.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    volume_bytes: Size,
    kinds: Vec<Kind>,
    tools: Vec<&'static str>,
    goals: Vec<Verdict>,
    messages: Messages,
    message_shares: Vec<Share>,
    rows: Rows,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}", self.machine.date, self.machine.line())?;
        writeln!(f, "volumes of {}; of all rounds the median (least–greatest)", self.volume_bytes)?;
        for &kind in &self.kinds {
            self.kind(f, kind)?;
        }
        self.goals(f)
    }
}

impl Report {
    /// The report of `rows` for volumes of these kinds and this size.
    pub(crate) fn of(rows: Rows, messages: Messages, kinds: &[Kind], machine: Machine, volume_bytes: Size) -> Self {
        let mut tools: Vec<&'static str> = rows.tools.iter().map(|row| row.tool).collect();
        tools.sort_unstable();
        tools.dedup();
        Self {
            machine,
            volume_bytes,
            kinds: kinds.to_vec(),
            tools,
            goals: goals::judge(&rows, SEPTET),
            messages,
            message_shares: kinds.iter().filter_map(|&kind| messages.share(&rows, SEPTET, kind)).collect(),
            rows,
        }
    }

    fn kind(&self, f: &mut fmt::Formatter<'_>, kind: Kind) -> fmt::Result {
        let Some(blake3) = self.rows.bare(kind, Work::Blake3).next() else { return Ok(()) };
        let bytes = blake3.bytes;
        writeln!(f, "\n{kind}: {} in blocks that hold data{}", Size(bytes), self.shrinks(kind))?;
        write!(f, "  {:<20}{:>8}{:>24}", "", "CPU s", "CPU ms per GB")?;
        writeln!(f, "{:>20}{:>12}{:>12}", "wall s", "memory MiB", "stored MiB")?;
        for work in [Work::Blake3, Work::Lz4] {
            if let Some(cpu) = Spread::of(self.rows.bare(kind, work).map(|bare| bare.cpu_seconds)) {
                writeln!(f, "  {:<20}{}", format!("{work} alone"), cpu_columns(cpu, bytes))?;
            }
        }
        for tool in &self.tools {
            for step in Step::ALL {
                self.step(f, tool, kind, step, bytes)?;
            }
        }
        Ok(())
    }

    fn step(&self, f: &mut fmt::Formatter<'_>, tool: &str, kind: Kind, step: Step, bytes: u64) -> fmt::Result {
        let costs: Vec<&Cost> = self.rows.costs(tool, kind, step).collect();
        let of = |figure: fn(&Cost) -> Option<f64>| Spread::of(costs.iter().filter_map(|cost| figure(cost)));
        let (Some(cpu), Some(wall)) = (of(|cost| Some(cost.cpu())), of(|cost| Some(cost.wall_seconds))) else {
            return Ok(());
        };
        let mib = |spread: Option<Spread>| {
            spread.map_or("-".to_owned(), |of| format!("{:.1}", of.median / f64::from(1 << 20)))
        };
        let memory = of(|cost| Some(cost.memory_told_bytes.or(cost.memory_seen_bytes)? as f64));
        let stored = of(|cost| Some(cost.stored_bytes as f64));
        write!(f, "  {:<20}{}", format!("{tool} {step}"), cpu_columns(cpu, bytes))?;
        writeln!(f, "{:>20}{:>12}{:>12}", wall.to_string(), mib(memory), mib(stored))?;
        if let Some(cost) = costs.iter().find(|cost| cost.cpu_disagrees()) {
            let told = cost.cpu_told_seconds.unwrap_or_default();
            writeln!(f, "  ! it tells {told:.3} s of CPU, and the kernel counted {:.3} s", cost.cpu_seconds)?;
        }
        Ok(())
    }

    fn shrinks(&self, kind: Kind) -> String {
        let lz4 = self.rows.bare(kind, Work::Lz4).next();
        lz4.map_or(String::new(), |lz4| format!(", LZ4 {:.2}:1", lz4.bytes as f64 / lz4.output_bytes as f64))
    }

    fn goals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nCPU time over all processes, against one thread of the bare work in the same round:")?;
        for Verdict { goal, ratio, met } in &self.goals {
            let what = format!("{}, {}: {ratio} × {} alone", goal.kind, goal.step, goal.against);
            writeln!(f, "  {what:<60} goal ≤ {:.1}  {}", goal.at_most, said(*met))?;
        }
        let Messages { codec_us, sent_us } = self.messages;
        writeln!(
            f,
            "\nMessages of a block: {codec_us:.1} µs of CPU to encode and decode, {sent_us:.1} µs if each is sent alone;"
        )?;
        writeln!(f, "of a full backup's CPU time that is at the most:")?;
        for Share { kind, share, met } in &self.message_shares {
            let (what, goal) = (format!("{kind}: {} %", share.scaled(100.0)), SHARE_AT_MOST * 100.0);
            writeln!(f, "  {what:<60} goal ≤ {goal:.0} %  {}", said(*met))?;
        }
        Ok(())
    }
}

/// CPU time of work on `bytes`: the seconds, and the milliseconds per gigabyte with their spread.
fn cpu_columns(cpu: Spread, bytes: u64) -> String {
    format!("{:>8.2}{:>24}", cpu.median, format!("{:.0}", cpu.scaled(ms_per_gb(bytes))))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::bare::{Bare, BareRow};
    use crate::rounds::ToolRow;
    use crate::rounds::tests::cost;

    fn report(lz4_seconds: f64, septet_seconds: f64) -> Report {
        let (round, kind) = (0, Kind::Debian);
        let bare = |work, cpu_seconds| {
            let bare = Bare { bytes: 1_000_000_000, output_bytes: 500_000_000, cpu_seconds };
            BareRow { round, kind, work, bare }
        };
        let rows = Rows {
            bare: vec![bare(Work::Blake3, 0.2), bare(Work::Lz4, lz4_seconds)],
            tools: vec![ToolRow { round, kind, tool: SEPTET, step: Step::Full, cost: cost(septet_seconds) }],
        };
        let messages = Messages { codec_us: 10.0, sent_us: 20.0 };
        Report::of(rows, messages, &Kind::ALL, Machine::here(Path::new(".")), Size(1 << 30))
    }

    #[test]
    fn what_was_measured_and_whether_the_goal_is_met_is_told() {
        let text = report(2.0, 2.5).to_string();
        for part in ["LZ4 2.00:1", "2500 (2500–2500)", "1.25 (1.25–1.25) × LZ4 alone", "debian: 0.76 (0.76–0.76) %"]
        {
            assert!(text.contains(part), "no {part:?} in {text}");
        }
        assert!(!text.contains("NOT MET") && !text.contains("sparse"), "{text}");
        assert!(report(2.0, 2.7).to_string().contains("NOT MET"));
    }

    #[test]
    fn json_has_every_round_and_every_goal() {
        let json = serde_json::to_value(report(2.0, 2.5)).unwrap();
        assert_eq!(json["rows"]["tools"][0]["cpu_seconds"], 2.5);
        assert_eq!(json["rows"]["bare"][1]["work"], "lz4");
        assert_eq!((&json["goals"][0]["met"], &json["goals"][0]["at_most"]), (&true.into(), &1.3.into()));
    }
}
