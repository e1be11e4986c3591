//! Processes, as `/proc` shows them.

use std::fs;
use std::time::{Duration, Instant};

use procfs_core::FromRead;
use procfs_core::process::Stat;
use rustix::process::{Pid, Signal, getpriority_process, kill_process, setpriority_process};

/// How long the kernel may take to end a process that was killed.
const DEATH_LIMIT: Duration = Duration::from_secs(20);

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// The name under which it was called: its first argument.
    pub name: String,
}

impl Process {
    /// Sends the process a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("sending a signal");
    }
}

/// The children of a process that have not ended.
pub fn children(parent: u32) -> Vec<Process> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| parent_of(pid) == Some(parent)).filter_map(process).collect()
}

/// Runs `look` with high priority. It is for looking at processes that may live for only some milliseconds, even on a
/// busy machine.
pub(crate) fn urgently<T>(look: impl FnOnce() -> T) -> T {
    let usual = getpriority_process(None).unwrap_or(0);
    // Without the permission, the test may miss a process on a busy machine.
    let _ = setpriority_process(None, -20);
    let seen = look();
    let _ = setpriority_process(None, usual);
    seen
}

/// Whether a process with this id runs and is not a zombie. If only its first thread has ended, a process still has its
/// files open and their locks.
pub fn is_alive(pid: u32) -> bool {
    let threads = || fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    stat(pid).is_some_and(|stat| !matches!(stat.state, 'Z' | 'X') || threads() > 1)
}

/// Asserts that these processes end.
pub fn assert_gone(processes: &[Process]) {
    let until = Instant::now() + DEATH_LIMIT;
    while let Some(left) = processes.iter().find(|process| is_alive(process.pid) && is_same(process)) {
        assert!(Instant::now() < until, "{left:?} has outlived its run");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the id still belongs to this process, and not to a later one.
fn is_same(process: &Process) -> bool {
    let command_line = fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
    command_line.starts_with(process.name.as_bytes())
}

fn process(pid: u32) -> Option<Process> {
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let name = command_line.split(|byte| *byte == 0).next().filter(|name| !name.is_empty())?;
    Some(Process { pid, name: String::from_utf8_lossy(name).into_owned() })
}

fn parent_of(pid: u32) -> Option<u32> {
    stat(pid).filter(|stat| stat.state != 'Z').and_then(|stat| stat.ppid.try_into().ok())
}

fn stat(pid: u32) -> Option<Stat> {
    Stat::from_file(format!("/proc/{pid}/stat")).ok()
}
