//! The main measurement: every tool and the bare work in turn, on the same volumes.
//!
//! In a round the bare work runs right before the tools, on the same data. Noise affects both alike, so the ratio
//! within a round is stable.

use std::path::Path;

use serde::Serialize;

use crate::bare::{self, Bare, BareRow, Work};
use crate::data::{Kind, Volume};
use crate::step::Step;
use crate::tool::{Cost, Tool};
use crate::{compare, workspace};

/// The cost of a tool's step in one round.
#[derive(Debug, Serialize)]
pub(crate) struct ToolRow {
    pub(crate) round: u32,
    pub(crate) kind: Kind,
    pub(crate) tool: &'static str,
    pub(crate) step: Step,
    #[serde(flatten)]
    pub(crate) cost: Cost,
}

/// All figures.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Rows {
    pub(crate) bare: Vec<BareRow>,
    pub(crate) tools: Vec<ToolRow>,
}

/// Makes a tool that keeps its files in a new directory.
pub(crate) type MakeTool<'a> = &'a dyn Fn(&Path) -> anyhow::Result<Box<dyn Tool>>;

impl Rows {
    /// Measures one round on one volume. Removes everything that it wrote into `dir`.
    ///
    /// # Errors
    /// A tool fails, or its restore differs from the volume.
    pub(crate) fn measure(
        &mut self,
        round: u32,
        volume: &Volume,
        tools: &[MakeTool<'_>],
        dir: &Path,
    ) -> anyhow::Result<()> {
        self.measure_bare(round, volume)?;
        tools.iter().try_for_each(|make| self.measure_tool(round, volume, make, dir))
    }

    /// Measures one round of the bare work on one volume.
    ///
    /// # Errors
    /// The volume cannot be read.
    pub(crate) fn measure_bare(&mut self, round: u32, volume: &Volume) -> anyhow::Result<()> {
        let kind = volume.kind;
        for work in [Work::Blake3, Work::Lz4] {
            workspace::settle();
            self.bare.push(BareRow { round, kind, work, bare: bare::measure(work, &volume.original)? });
        }
        Ok(())
    }

    /// Measures one round of one tool on one volume: all its steps, or none if it fails.
    ///
    /// # Errors
    /// A tool fails, or its restore differs from the volume.
    pub(crate) fn measure_tool(
        &mut self,
        round: u32,
        volume: &Volume,
        make: MakeTool<'_>,
        dir: &Path,
    ) -> anyhow::Result<()> {
        let (home, restored, kind) = (dir.join("tool"), dir.join("restored.img"), volume.kind);
        workspace::remove(&home)?;
        let mut tool = make(&home)?;
        let (mut rows, mut newest) = (Vec::new(), &volume.original);
        for &step in tool.steps() {
            workspace::remove(&restored)?;
            workspace::settle();
            workspace::forget(&volume.dir);
            workspace::forget(dir);
            newest = step.source(volume).unwrap_or(newest);
            let cost = take(step, tool.as_mut(), volume, &restored)?;
            rows.push(ToolRow { round, kind, tool: tool.name(), step, cost });
        }
        compare::same(newest, &restored)?;
        self.tools.append(&mut rows);
        workspace::remove(&home)?;
        workspace::remove(&restored)
    }

    /// The cost of this bare work on this kind of volume, one figure for each round.
    pub(crate) fn bare(&self, kind: Kind, work: Work) -> impl Iterator<Item = &Bare> {
        self.bare.iter().filter(move |row| row.kind == kind && row.work == work).map(|row| &row.bare)
    }

    /// The cost of this tool's step on this kind of volume, one figure for each round.
    pub(crate) fn costs(&self, tool: &str, kind: Kind, step: Step) -> impl Iterator<Item = &Cost> {
        let wanted = move |row: &&ToolRow| row.tool == tool && row.kind == kind && row.step == step;
        self.tools.iter().filter(wanted).map(|row| &row.cost)
    }
}

fn take(step: Step, tool: &mut dyn Tool, volume: &Volume, restored: &Path) -> anyhow::Result<Cost> {
    match step.source(volume) {
        Some(source) if step == Step::Full => tool.full(source),
        Some(source) => tool.incremental(source),
        None => tool.restore(restored),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::units::Size;

    pub(crate) fn cost(cpu_seconds: f64) -> Cost {
        Cost {
            wall_seconds: 1.0,
            cpu_seconds,
            cpu_told_seconds: None,
            memory_told_bytes: None,
            memory_seen_bytes: None,
            stored_bytes: 1 << 20,
            requests: None,
        }
    }

    /// Keeps a copy of the last volume, and restores it without its last `spoil` bytes.
    struct Copier(PathBuf, u64);

    impl Copier {
        fn keep(&self, path: &Path) -> anyhow::Result<Cost> {
            std::fs::create_dir_all(&self.0)?;
            std::fs::copy(path, self.0.join("copy"))?;
            Ok(cost(2.0))
        }
    }

    impl Tool for Copier {
        fn name(&self) -> &'static str {
            "copier"
        }
        fn full(&mut self, path: &Path) -> anyhow::Result<Cost> {
            assert!(!self.0.exists(), "a repository starts empty");
            self.keep(path)
        }
        fn incremental(&mut self, path: &Path) -> anyhow::Result<Cost> {
            self.keep(path)
        }
        fn restore(&mut self, path: &Path) -> anyhow::Result<Cost> {
            let bytes = std::fs::copy(self.0.join("copy"), path)?;
            std::fs::File::options().write(true).open(path)?.set_len(bytes - self.1)?;
            Ok(cost(1.0))
        }
    }

    fn two_rounds(spoil: u64) -> anyhow::Result<Rows> {
        let dir = tempfile::tempdir()?;
        let volume = Volume::prepare(Kind::Sparse, dir.path(), Size(4 << 20), 1)?;
        let work = dir.path().join("work");
        let mut rows = Rows::default();
        for round in 0..2 {
            rows.measure(round, &volume, &[&|path| Ok(Box::new(Copier(path.into(), spoil)))], &work)?;
        }
        assert_eq!(workspace::tree_bytes(&work.join("tool"))?, 0);
        Ok(rows)
    }

    #[test]
    fn each_round_has_the_bare_work_and_every_step() {
        let rows = two_rounds(0).unwrap();
        assert_eq!(rows.bare(Kind::Sparse, Work::Lz4).count(), 2);
        assert_eq!(rows.bare(Kind::Zeros, Work::Lz4).count(), 0);
        for step in Step::ALL {
            assert_eq!(rows.costs("copier", Kind::Sparse, step).count(), 2, "{step:?}");
        }
    }

    #[test]
    fn a_restore_of_something_else_fails_the_run() {
        assert!(two_rounds(4096).unwrap_err().to_string().contains("differ"));
    }
}
