//! The output of a run: a progress bar and a short summary, or JSON lines.
//!
//! Results go to standard output, everything else to standard error, so that either can be used alone. A
//! closed pipe is not an error.

mod bar;
mod lines;
mod profile;

use std::io::Write;
use std::time::Instant;

use septet_engine::{Doing, ErrorKind, Observer, Report};
use septet_ipc::message::{Damage, Progress};
use serde_json::{Value, json};

use crate::args::Global;
use bar::Bar;
pub(crate) use lines::{complain, print_line};
pub(crate) use septet_engine::{number_of, size};

/// Prints the output of a command.
pub(crate) struct Reporter {
    json: bool,
    profile: bool,
    started: Instant,
    bar: Option<Bar>,
}

impl Reporter {
    /// With `json`, prints JSON lines; otherwise text for people.
    pub(crate) fn new(json: bool, global: &Global) -> Self {
        Self { json, profile: global.profile || global.verbose, started: Instant::now(), bar: None }
    }

    /// The time since the command started, including the work before its agents start and after they end.
    pub(crate) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Prints the result: JSON, or the lines for people.
    pub(crate) fn summary(&mut self, summary: Value, lines: &[String]) {
        self.bar = None;
        if self.json {
            self.event("summary", summary);
        } else {
            lines.iter().for_each(|line| print_line(line));
        }
    }

    /// Prints how each agent spent its time, if `--profile` or `--verbose` is given.
    pub(crate) fn profile(&mut self, report: &Report) {
        if self.profile && !self.json {
            profile::lines(report).iter().for_each(|line| self.say(line));
        }
    }

    fn event(&self, name: &str, details: Value) {
        let mut line = json!({ "event": name });
        if let (Value::Object(line), Value::Object(details)) = (&mut line, details) {
            line.extend(details);
        }
        print_line(&line.to_string());
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.say(text),
            None => complain(text),
        }
    }
}

impl Observer for Reporter {
    fn begins(&mut self, doing: &Doing) {
        if self.json {
            self.event("start", details(doing));
        } else {
            self.bar = Some(Bar::new(&in_words(doing)));
        }
    }

    fn progress(&mut self, progress: &Progress) {
        if self.json {
            self.event("progress", json!(progress));
        } else if let Some(bar) = &self.bar {
            bar.update(progress);
        }
    }

    fn note(&mut self, text: &str) {
        if self.json {
            self.event("note", json!({ "text": text }));
        } else {
            self.say(&format!("septet: note: {text}"));
        }
    }

    fn damage(&mut self, damage: &Damage) {
        if self.json {
            self.event("damage", json!(damage));
        }
    }

    fn passed(&mut self, step: &str, result: &str) {
        self.bar = None;
        print_line(&format!("ok  {step}: {result}"));
        let _ = std::io::stdout().flush();
    }
}

/// The fields of the JSON event `start`.
fn details(doing: &Doing) -> Value {
    match doing {
        Doing::BackUp { volume, backup, parent } => json!({ "backup": backup, "volume": volume, "parent": parent }),
        Doing::Restore { volume, backup } => json!({ "backup": backup, "volume": volume }),
        Doing::Verify { volume, backups } | Doing::Delete { volume, backups } => {
            json!({ "volume": volume, "backups": backups })
        }
    }
}

/// The label of the progress bar.
fn in_words(doing: &Doing) -> String {
    match doing {
        Doing::BackUp { volume, .. } => format!("backing up {volume}"),
        Doing::Restore { volume, .. } => format!("restoring {volume}"),
        Doing::Verify { volume, .. } => format!("verifying {volume}"),
        Doing::Delete { volume, .. } => format!("deleting from {volume}"),
    }
}

/// Prints why a command failed, in one line.
pub(crate) fn failed(json: bool, error: &anyhow::Error) {
    let text = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
    if json {
        print_line(&json!({ "event": "error", "kind": ErrorKind::of(error), "message": text }).to_string());
    }
    complain(&format!("septet: error: {text}"));
}

/// `1.5 GiB/s`.
pub(crate) fn rate(bytes: u64, seconds: f64) -> String {
    if seconds <= 0.0 {
        return "-".to_owned();
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for people")]
    let per_second = (bytes as f64 / seconds) as u64;
    format!("{}/s", size(per_second))
}
