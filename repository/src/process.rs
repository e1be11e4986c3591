//! Who a process is, such that it can be known later whether it still runs.
//!
//! Only the same machine can tell, and only if it sees the same processes: a clone of the machine
//! has the same machine id (so the host's name must agree too), and a container sees other process
//! numbers (so the process namespace stands beside the boot id).

use rustix::process::Pid;
use std::fs;

/// What tells a process from every other that ever ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) host: String,
    /// `/etc/machine-id`; empty where there is none.
    pub(crate) machine: String,
    /// The boot id, a space, and the process namespace.
    pub(crate) boot: String,
    pub(crate) pid: u32,
    /// In clock ticks since boot; 0 if unknown.
    pub(crate) start: u64,
}

impl Process {
    /// This one.
    pub(crate) fn current() -> Self {
        let pid = std::process::id();
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        Process {
            host: line("/proc/sys/kernel/hostname"),
            machine: line("/etc/machine-id"),
            boot: format!("{} {}", line("/proc/sys/kernel/random/boot_id"), namespace.display()),
            pid,
            start: stat(pid).map_or(0, |stat| stat.start),
        }
    }

    /// Whether `self` is known to be gone, judged by the process `here`. Unknown is false.
    pub(crate) fn is_gone(&self, here: &Process) -> bool {
        if self.host.is_empty() || (&self.host, &self.machine) != (&here.host, &here.machine) {
            return false;
        }
        match (self.boot.split_once(' '), here.boot.split_once(' ')) {
            // An empty id is one that couldn't be read.
            (Some(("", _)), _) | (_, Some(("", _))) => false,
            (Some((then, _)), Some((now, _))) if then != now => true,
            (Some((_, theirs)), Some((_, ours))) if theirs == ours => self.has_ended(),
            _ => false,
        }
    }

    /// Whether no process that we could see has this number and this start.
    fn has_ended(&self) -> bool {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return false;
        };
        // Unlike /proc, which may be mounted to hide others' processes, a signal tells.
        if rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
            return true;
        }
        stat(self.pid).is_some_and(|stat| stat.ended || (self.start != 0 && stat.start != self.start))
    }
}

struct Stat {
    ended: bool,
    start: u64,
}

/// What `/proc` says of a process: its state (field 3) and its start (field 22).
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in parentheses, and may hold anything.
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X");
    Some(Stat { ended, start: fields.nth(18)?.parse().ok()? })
}

fn line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn this_process_is_not_gone() {
        let here = Process::current();
        assert!(here.start > 0 && !here.host.is_empty() && here.boot.len() > 36, "{here:?}");
        assert!(!here.is_gone(&here));
    }

    #[test]
    fn a_process_that_has_ended_is_gone_reaped_or_not() {
        let here = Process::current();
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let start = stat(child.id()).unwrap().start;
        let process = Process { pid: child.id(), start, ..here.clone() };
        assert!(!process.is_gone(&here));
        child.kill().unwrap();
        while !stat(child.id()).unwrap().ended {
            std::thread::yield_now();
        }
        assert!(process.is_gone(&here), "a zombie");
        child.wait().unwrap();
        assert!(process.is_gone(&here));
    }

    #[test]
    fn the_same_number_with_another_start_is_another_process() {
        let here = Process::current();
        assert!(Process { start: here.start + 1, ..here.clone() }.is_gone(&here));
        assert!(!Process { start: 0, ..here.clone() }.is_gone(&here), "an unknown start says nothing");
    }

    #[test]
    fn an_earlier_boot_is_gone_and_another_machine_or_container_unknown() {
        let here = Process::current();
        let (_, namespace) = here.boot.split_once(' ').unwrap();
        let earlier = Process { boot: format!("0123 {namespace}"), ..here.clone() };
        assert!(earlier.is_gone(&here));
        for elsewhere in [
            Process { host: "elsewhere".to_owned(), ..earlier.clone() },
            Process { machine: "another".to_owned(), ..earlier.clone() },
            Process { boot: format!(" {namespace}"), ..earlier.clone() },
            Process { boot: here.boot.replace("pid:[", "pid:[1"), pid: 4_000_000, ..here.clone() },
            Process { boot: String::new(), ..earlier },
        ] {
            assert!(!elsewhere.is_gone(&here), "{elsewhere:?}");
        }
    }
}
