//! What the user sees of a run: a progress bar and a short summary, or JSON lines.
//!
//! Results go to standard output, all else to standard error, so that either can be used alone. A
//! reader that went away (a closed pipe) is no error.

mod bar;
mod profile;

use std::io::Write;
use std::time::Instant;

use bytesize::ByteSize;
use septet_ipc::message::{Damage, Progress};
use serde_json::{Value, json};

use crate::args::Global;
use crate::supervisor::{Observer, Report};
use bar::Bar;

/// How a command speaks.
pub(crate) struct Reporter {
    json: bool,
    profile: bool,
    started: Instant,
    at_work: bool,
    bar: Option<Bar>,
}

impl Reporter {
    /// Speaks JSON lines, or to a person.
    pub(crate) fn new(json: bool, global: &Global) -> Self {
        Self { json, profile: global.profile || global.verbose, started: Instant::now(), at_work: false, bar: None }
    }

    /// How long the command has taken so far, what it looks up before and settles after its agents included.
    pub(crate) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Whether the agents have opened all that they need, and begun.
    pub(crate) fn at_work(&self) -> bool {
        self.at_work
    }

    /// From here on `doing` is under way, with a progress bar on a terminal.
    pub(crate) fn start(&mut self, doing: &str, details: Value) {
        if self.json {
            self.event("start", details);
        } else {
            self.bar = Some(Bar::new(doing));
        }
    }

    /// The result: JSON, or the lines for people.
    pub(crate) fn summary(&mut self, summary: Value, lines: &[String]) {
        self.bar = None;
        if self.json {
            self.event("summary", summary);
        } else {
            lines.iter().for_each(|line| print_line(line));
        }
    }

    /// What each agent did and waited for, if that is asked for.
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
    fn progress(&mut self, progress: &Progress) {
        self.at_work = true;
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
}

/// Prints a line of results; that nobody reads it is no error.
pub(crate) fn print_line(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Prints a line that is no result.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Prints why a command failed, in one line.
pub(crate) fn failed(json: bool, error: &anyhow::Error) {
    let text = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
    if json {
        print_line(&json!({ "event": "error", "message": text }).to_string());
    }
    complain(&format!("septet: error: {text}"));
}

/// `1 segment`, `2 segments`.
pub(crate) fn number_of(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// `1.5 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
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
