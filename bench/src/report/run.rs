//! What `run` measured: a table for each kind of volume, then the goals.

use std::fmt::{self, Write};

use serde::Serialize;

use super::said;
use crate::bare::{Bare, Work};
use crate::data::Kind;
use crate::goals::{self, Verdict};
use crate::machine::Machine;
use crate::messages::{Messages, SHARE_AT_MOST, Share};
use crate::rounds::{Rows, Step};
use crate::stats::Spread;
use crate::tool::{Cost, SEPTET};
use crate::units::{Size, ms_per_gb};

/// All that a run has to tell; as JSON, all that it measured.
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
    /// What `rows` tell of volumes of these kinds and this size.
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
        writeln!(f, "  {:<22}{:>24}{:>20}{:>12}{:>12}", "", "CPU ms per GB", "wall s", "memory MiB", "stored MiB")?;
        for work in [Work::Blake3, Work::Lz4] {
            if let Some(cpu) = Spread::of(self.rows.bare(kind, work).map(Bare::ms_per_gb)) {
                writeln!(f, "  {:<22}{:>24}", format!("{work} alone"), format!("{cpu:.0}"))?;
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
        let mut line = String::new();
        write!(line, "  {:<22}{:>24}", format!("{tool} {step}"), format!("{:.0}", cpu.scaled(ms_per_gb(bytes))))?;
        write!(line, "{:>20}{:>12}{:>12}", wall.to_string(), mib(memory), mib(stored))?;
        writeln!(f, "{line}")?;
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
        let Messages { alone_us, batched_us } = self.messages;
        writeln!(
            f,
            "\nMessages: {batched_us:.1} µs of CPU a block in sixteens, {alone_us:.1} µs if each travels alone;"
        )?;
        writeln!(f, "of a full backup's CPU time:")?;
        for Share { kind, alone, batched } in &self.message_shares {
            let (alone, batched) = (alone.scaled(100.0), batched.scaled(100.0));
            let what = format!("{kind}: {batched} % in sixteens, {alone} % alone");
            let met = said(batched.median <= SHARE_AT_MOST * 100.0);
            writeln!(f, "  {what:<60} goal ≤ {:.0} %  {met}", SHARE_AT_MOST * 100.0)?;
        }
        Ok(())
    }
}
