//! The machine and time of a measurement. A figure without these is meaningless.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

use crate::units::Size;

/// The machine that this runs on.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// The time of the measurement, UTC.
    pub(crate) date: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    /// The file system and device that the volumes and repositories lie on.
    pub(crate) disk: String,
}

impl Machine {
    /// Describes this machine. What it does not report is `unknown`.
    pub(crate) fn here(dir: &Path) -> Self {
        let memory_kib = field("/proc/meminfo", "MemTotal").and_then(|text| text.strip_suffix(" kB")?.parse().ok());
        Self {
            date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: memory_kib.unwrap_or(0_u64) * 1024,
            kernel: first_line(&fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default()),
            disk: disk(dir),
        }
    }

    /// The machine in one line.
    pub(crate) fn line(&self) -> String {
        let Self { processor, cores, kernel, disk, .. } = self;
        format!("{processor}, {cores} cores, {} of memory, Linux {kernel}, {disk}", Size(self.memory_bytes))
    }
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let (_, value) = text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == name)?;
    Some(value.trim().to_owned())
}

fn disk(dir: &Path) -> String {
    let output = Command::new("findmnt").args(["-n", "-o", "FSTYPE,SOURCE", "-T"]).arg(dir).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    match text.split_whitespace().collect::<Vec<_>>()[..] {
        [filesystem, device] => format!("{filesystem} on {device}"),
        _ => unknown(),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().map_or_else(unknown, str::to_owned)
}

fn unknown() -> String {
    "unknown".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described_whole() {
        let machine = Machine::here(Path::new("."));
        assert!(machine.cores > 0 && machine.memory_bytes > 1 << 20);
        let line = machine.line();
        assert!(line.contains(" on ") && !line.contains("unknown"), "{line}");
        assert!(machine.date.starts_with("20") && machine.date.ends_with(" UTC"), "{}", machine.date);
    }
}
