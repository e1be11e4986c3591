//! Runs a program and measures it with all its descendants.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::cpu::children_seconds;

const WATCH_INTERVAL: Duration = Duration::from_millis(50);

/// The output and cost of a program.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The standard output.
    pub(crate) stdout: String,
    /// From its start to its end, seconds.
    pub(crate) wall_seconds: f64,
    /// CPU time of it and of its descendants, as the kernel counted it, seconds.
    pub(crate) cpu_seconds: f64,
    /// The largest sum of their memory that sampling saw, bytes. Shared pages count once. `None` if nobody sampled.
    pub(crate) memory_seen_bytes: Option<u64>,
}

/// Runs `command` to its end. Sampling its memory (`watch`) takes CPU time, which is not counted as the program's.
///
/// No other child may be waited for meanwhile, because its CPU time would be counted.
///
/// # Errors
/// The program cannot be started or fails. The error contains its standard error.
pub(crate) fn run(command: &mut Command, watch: bool) -> anyhow::Result<Ran> {
    let name = command.get_program().to_string_lossy().into_owned();
    let (cpu_before, start) = (children_seconds()?, Instant::now());
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{name} can't be started"))?;
    let pid = child.id();
    let (output, memory_seen_bytes) = std::thread::scope(|scope| {
        let (ended, until) = channel();
        let watcher = watch.then(|| scope.spawn(move || watch_memory(pid, &until)));
        let output = child.wait_with_output();
        drop(ended);
        (output, watcher.and_then(|watcher| watcher.join().ok()))
    });
    let (output, wall_seconds) = (output?, start.elapsed().as_secs_f64());
    if !output.status.success() {
        bail!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(Ran {
        stdout: String::from_utf8(output.stdout).with_context(|| format!("{name} writes no UTF-8"))?,
        wall_seconds,
        cpu_seconds: children_seconds()? - cpu_before,
        memory_seen_bytes,
    })
}

/// The peak memory of `pid` and its descendants until the other end of the channel is dropped.
fn watch_memory(pid: u32, until: &Receiver<()>) -> u64 {
    let mut most = 0;
    while until.recv_timeout(WATCH_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        most = most.max(tree_bytes(pid));
    }
    most
}

/// The current memory of a process and its descendants; 0 for a process that has ended.
fn tree_bytes(pid: u32) -> u64 {
    let children = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = children.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<u32> =
        children.flat_map(|list| list.split_whitespace().map(str::parse).collect::<Vec<_>>()).flatten().collect();
    proportional_bytes(pid) + children.into_iter().map(tree_bytes).sum::<u64>()
}

/// The proportional set size: a shared page is divided among its processes.
fn proportional_bytes(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let kib = text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says_is_kept_and_a_failure_is_told() {
        let ran = run(Command::new("sh").args(["-c", "echo said"]), false).unwrap();
        assert_eq!((ran.stdout.as_str(), ran.memory_seen_bytes), ("said\n", None));
        let failed = run(Command::new("sh").args(["-c", "echo why >&2; exit 3"]), false).unwrap_err().to_string();
        assert!(failed.contains("exit status: 3") && failed.ends_with("why"), "{failed}");
    }

    #[test]
    fn memory_of_a_grandchild_is_seen() {
        let script = "sh -c 'x=$(head -c 60000000 /dev/zero | tr \"\\0\" x); sleep 0.5; true'; true";
        let seen = run(Command::new("sh").args(["-c", script]), true).unwrap().memory_seen_bytes.unwrap();
        assert!(seen > 50_000_000, "{seen}");
    }
}
