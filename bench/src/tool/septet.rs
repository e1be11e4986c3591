//! Septet itself, by its command line, on a repository that is a directory.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde::Deserialize;

use super::{Cost, Tool};
use crate::{process, workspace};

/// What Septet is called in rows and reports.
pub(crate) const SEPTET: &str = "septet";
const VOLUME: &str = "bench";

/// Septet with a directory repository.
pub(crate) struct Septet {
    binary: PathBuf,
    repository: PathBuf,
    watch: bool,
    full: Option<String>,
}

impl Septet {
    /// `binary` on the repository `repository`; `watch`: its memory is looked at from outside too.
    pub(crate) fn new(binary: &Path, repository: &Path, watch: bool) -> Self {
        Self { binary: binary.into(), repository: repository.into(), watch, full: None }
    }

    fn run(&self, words: &[&str], paths: &[&Path]) -> anyhow::Result<(Cost, Summary)> {
        let before = workspace::tree_bytes(&self.repository)?;
        let mut command = Command::new(&self.binary);
        command.args(words).args(paths).arg("--json").arg("--repo").arg(&self.repository);
        let ran = process::run(&mut command, self.watch)?;
        let summary = Summary::of(&ran.stdout).with_context(|| format!("{command:?}"))?;
        let cost = Cost {
            wall_seconds: ran.wall_seconds,
            cpu_seconds: ran.cpu_seconds,
            cpu_told_seconds: Some(summary.cpu_seconds),
            memory_told_bytes: Some(summary.memory_peak_bytes),
            memory_seen_bytes: ran.memory_seen_bytes,
            stored_bytes: workspace::tree_bytes(&self.repository)?.saturating_sub(before),
        };
        Ok((cost, summary))
    }
}

impl Tool for Septet {
    fn name(&self) -> &'static str {
        SEPTET
    }

    fn full(&mut self, path: &Path) -> anyhow::Result<Cost> {
        let (cost, summary) = self.run(&["backup", "--full", "--volume", VOLUME], &[path])?;
        self.full = Some(summary.backup.context("the summary of a backup does not name it")?);
        Ok(cost)
    }

    fn incremental(&mut self, path: &Path) -> anyhow::Result<Cost> {
        let full = self.full.as_deref().context("an incremental needs a full backup")?;
        Ok(self.run(&["backup", "--parent", full, "--volume", VOLUME], &[path])?.0)
    }

    fn restore(&mut self, path: &Path) -> anyhow::Result<Cost> {
        let newest = format!("{VOLUME}@latest");
        Ok(self.run(&["restore"], &[Path::new(&newest), path])?.0)
    }
}

/// The last line that `septet … --json` writes.
#[derive(Debug, Deserialize)]
struct Summary {
    backup: Option<String>,
    cpu_seconds: f64,
    memory_peak_bytes: u64,
}

impl Summary {
    fn of(stdout: &str) -> anyhow::Result<Self> {
        let line = stdout.lines().last().context("it wrote nothing")?;
        let value: serde_json::Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        anyhow::ensure!(value["event"] == "summary", "the last line is no summary: {line}");
        serde_json::from_value(value).with_context(|| format!("not the summary that it should be: {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_summary() {
        let progress = r#"{"event":"progress","bytes_done":1}"#;
        let summary =
            r#"{"event":"summary","backup":"b1","blocks":{"data":1},"cpu_seconds":0.5,"memory_peak_bytes":7}"#;
        let read = Summary::of(&format!("{progress}\n{summary}\n")).unwrap();
        assert_eq!((read.backup.as_deref(), read.cpu_seconds, read.memory_peak_bytes), (Some("b1"), 0.5, 7));
        for text in ["", "oops", progress, r#"{"event":"summary"}"#] {
            assert!(Summary::of(text).is_err(), "{text:?} was taken");
        }
    }
}
