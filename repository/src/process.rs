//! Identifies a process such that it can later be determined whether it still runs.
//!
//! Only the same machine can tell, and only if it sees the same processes. A clone of the machine has the same machine
//! id, so the host's name must agree too. A container sees other process numbers, so the process namespace is recorded
//! beside the boot id.

use procfs_core::FromRead;
use procfs_core::process::Stat;
use rustix::process::Pid;
use septet_format::{Machine, Process};
use std::fs;

/// This machine.
pub fn machine() -> Machine {
    Machine { id: line("/etc/machine-id"), name: line("/proc/sys/kernel/hostname") }
}

/// This process.
pub fn current() -> Process {
    let pid = std::process::id();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    Process {
        machine: machine(),
        boot: line("/proc/sys/kernel/random/boot_id"),
        pid_namespace: namespace.display().to_string(),
        pid,
        process_start: stat(pid).map_or(0, |stat| stat.starttime),
    }
}

/// Whether `process` is known to be gone, from the point of view of the process `here`. False if unknown.
pub(crate) fn is_gone(process: &Process, here: &Process) -> bool {
    // An empty name or boot id could not be read.
    let is_known = ![&process.machine.name, &process.boot, &here.boot].iter().any(|text| text.is_empty());
    if !is_known || process.machine != here.machine {
        return false;
    }
    process.boot != here.boot || (process.pid_namespace == here.pid_namespace && has_ended(process))
}

/// Whether no visible process has this number and this start time.
fn has_ended(process: &Process) -> bool {
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    // A signal reaches other users' processes too, whereas /proc may be mounted to hide them.
    if rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
        return true;
    }
    let start = process.process_start;
    let is_another = |stat: &Stat| start != 0 && stat.starttime != start;
    stat(process.pid).is_some_and(|stat| matches!(stat.state, 'Z' | 'X') || is_another(&stat))
}

fn stat(pid: u32) -> Option<Stat> {
    Stat::from_file(format!("/proc/{pid}/stat")).ok()
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
        let here = current();
        assert!(here.process_start > 0 && !here.machine.name.is_empty() && here.boot.len() >= 36, "{here:?}");
        assert!(here.pid_namespace.starts_with("pid:["), "{here:?}");
        assert!(!is_gone(&here, &here));
    }

    #[test]
    fn a_process_that_has_ended_is_gone_reaped_or_not() {
        let here = current();
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let process_start = stat(child.id()).unwrap().starttime;
        let process = Process { pid: child.id(), process_start, ..here.clone() };
        assert!(!is_gone(&process, &here));
        child.kill().unwrap();
        while stat(child.id()).unwrap().state != 'Z' {
            std::thread::yield_now();
        }
        assert!(is_gone(&process, &here), "a zombie");
        child.wait().unwrap();
        assert!(is_gone(&process, &here));
    }

    #[test]
    fn the_same_number_with_another_start_is_another_process() {
        let here = current();
        assert!(is_gone(&Process { process_start: here.process_start + 1, ..here.clone() }, &here));
        assert!(!is_gone(&Process { process_start: 0, ..here.clone() }, &here), "an unknown start says nothing");
    }

    #[test]
    fn an_earlier_boot_is_gone_and_another_machine_or_container_unknown() {
        let here = current();
        let earlier = Process { boot: "0123".to_owned(), ..here.clone() };
        assert!(is_gone(&earlier, &here));
        let on = |id: &str, name: &str| Machine { id: id.to_owned(), name: name.to_owned() };
        for elsewhere in [
            Process { machine: on(&here.machine.id, "elsewhere"), ..earlier.clone() },
            Process { machine: on("another", &here.machine.name), ..earlier.clone() },
            Process { machine: on(&here.machine.id, ""), ..earlier.clone() },
            Process { pid_namespace: "pid:[1]".to_owned(), pid: 4_000_000, ..here.clone() },
            Process { boot: String::new(), ..earlier },
        ] {
            assert!(!is_gone(&elsewhere, &here), "{elsewhere:?}");
        }
    }
}
