//! Measures what a run costs its host: CPU and memory, over all processes together.

use std::fs::File;
use std::io::Read;
use std::time::{Duration, Instant};

use nix::sys::resource::{Usage as Resources, UsageWho, getrusage};

use super::member::Member;
use crate::Usage;

/// Reading `/proc` of eight processes costs about a millisecond. So samples are frequent only at first, when memory
/// grows.
const SAMPLE_INTERVAL_MIN: Duration = Duration::from_millis(100);
const SAMPLE_INTERVAL_MAX: Duration = Duration::from_secs(1);

/// More than the part of `/proc/PID/status` that has the required fields; the whole file is 1.5 KiB.
const STATUS_BYTES_MAX: usize = 4096;

/// Measures a run from its start.
pub(crate) struct Meter {
    cpu_at_start: f64,
    own_peak_bytes: u64,
    shared_peak_bytes: u64,
    started: Instant,
    next_sample: Instant,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self {
            cpu_at_start: cpu_seconds(),
            own_peak_bytes: 0,
            shared_peak_bytes: 0,
            started: Instant::now(),
            next_sample: Instant::now(),
        }
    }

    /// Samples the memory of all processes: the shared memory that they reported, and at intervals their private
    /// memory.
    pub(crate) fn sample(&mut self, members: &[Member], now: Instant) {
        self.shared_peak_bytes = self.shared_peak_bytes.max(shared_bytes(members));
        if now < self.next_sample {
            return;
        }
        self.next_sample = now + (now - self.started).clamp(SAMPLE_INTERVAL_MIN, SAMPLE_INTERVAL_MAX);
        let mut anonymous = 0;
        let mut text = 0;
        let pids = members.iter().filter(|member| member.exit.is_none()).map(|member| member.child.id());
        for pid in pids.chain([std::process::id()]) {
            let status = read_status(pid).unwrap_or_default();
            anonymous += field(&status, "RssAnon:");
            text = text.max(field(&status, "RssFile:"));
        }
        self.own_peak_bytes = self.own_peak_bytes.max(anonymous + text);
    }

    /// Returns the totals. All agents must have been reaped. The last status of each agent has its shared memory, even
    /// in a short run.
    pub(crate) fn finish(self, members: &[Member]) -> Usage {
        let shared_bytes = self.shared_peak_bytes.max(shared_bytes(members));
        Usage { cpu_seconds: cpu_seconds() - self.cpu_at_start, memory_peak_bytes: self.own_peak_bytes + shared_bytes }
    }
}

fn shared_bytes(members: &[Member]) -> u64 {
    members.iter().filter_map(|member| member.status.as_ref()).map(|status| status.shared_bytes).sum()
}

fn cpu_seconds() -> f64 {
    [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN]
        .into_iter()
        .filter_map(|who| getrusage(who).ok())
        .map(|usage| seconds(&usage))
        .sum()
}

fn seconds(usage: &Resources) -> f64 {
    [usage.user_time(), usage.system_time()].iter().map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6).sum()
}

/// Reads `/proc/PID/status` by one read. Without a large enough buffer it would take a dozen reads.
fn read_status(pid: u32) -> std::io::Result<String> {
    let mut status = vec![0; STATUS_BYTES_MAX];
    let bytes = File::open(format!("/proc/{pid}/status"))?.read(&mut status)?;
    status.truncate(bytes);
    Ok(String::from_utf8_lossy(&status).into_owned())
}

/// Returns a field of `/proc/PID/status`, converted from KiB to bytes.
fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_of_its_own() {
        let status = read_status(std::process::id()).unwrap();
        assert!(field(&status, "RssAnon:") > 0 && field(&status, "RssFile:") > 0, "{status}");
    }

    #[test]
    fn a_field_is_found_by_its_name() {
        let status = "Name:\tx\nRssAnon:\t     132 kB\nRssFile:\t    2048 kB\n";
        assert_eq!(
            (field(status, "RssAnon:"), field(status, "RssFile:"), field(status, "Rss:")),
            (132 * 1024, 2048 * 1024, 0)
        );
    }
}
