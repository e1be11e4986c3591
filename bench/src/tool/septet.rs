//! Septet, called by its command line.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde::Deserialize;

use super::{Cost, Tool};
use crate::home::Home;
use crate::process;
use crate::seaweed::{ACCESS_KEY, SECRET_KEY};

/// Septet's name in rows and reports.
pub(crate) const SEPTET: &str = "septet";
/// The same on an S3 server.
pub(crate) const SEPTET_S3: &str = "septet, S3";
const VOLUME: &str = "bench";

/// Septet with a repository.
pub(crate) struct Septet {
    binary: PathBuf,
    home: Home,
    watch: bool,
    full: Option<String>,
}

impl Septet {
    /// `binary` with its repository in `home`. With `watch` its memory is sampled from outside, too.
    pub(crate) fn new(binary: &Path, home: Home, watch: bool) -> Self {
        Self { binary: binary.into(), home, watch, full: None }
    }

    fn run(&self, words: &[&str], paths: &[&Path]) -> anyhow::Result<(Cost, Summary)> {
        let before = self.home.stored_bytes()?;
        let mut command = Command::new(&self.binary);
        command.args(words).args(paths).arg("--json").arg("--repo");
        match self.home.bucket() {
            None => command.arg(self.home.repository()),
            Some((server, bucket)) => command
                .arg(format!("s3://{bucket}/repository?endpoint={}", server.endpoint))
                .env("AWS_REGION", "us-east-1")
                .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
                .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        };
        let ran = process::run(&mut command, self.watch)?;
        let summary = Summary::of(&ran.stdout).with_context(|| format!("{command:?}"))?;
        let cost = Cost {
            wall_seconds: ran.wall_seconds,
            cpu_seconds: ran.cpu_seconds,
            cpu_told_seconds: Some(summary.cpu_seconds),
            memory_told_bytes: Some(summary.memory_peak_bytes),
            memory_seen_bytes: ran.memory_seen_bytes,
            stored_bytes: self.home.stored_bytes()?.saturating_sub(before),
            requests: self.home.bucket().and(summary.requests),
        };
        Ok((cost, summary))
    }
}

impl Tool for Septet {
    fn name(&self) -> &'static str {
        if self.home.bucket().is_some() { SEPTET_S3 } else { SEPTET }
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

/// Parses the last line of `septet … --json`.
#[derive(Debug, Deserialize)]
struct Summary {
    backup: Option<String>,
    requests: Option<u64>,
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
