//! Machines, sources and processes: where a backup came from, and which process wrote what.

use serde::{Deserialize, Serialize};

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Its id (`/etc/machine-id`). Empty if there is none.
    pub id: String,
    /// Its host name, only for display.
    pub name: String,
}

/// The source of a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The name that the user gave.
    pub name: String,
    /// `file`, `device` or `image`. Later versions may add others.
    pub kind: String,
    /// Identifies the source: a device's serial number or WWN, otherwise the canonical path. For an RBD image, its
    /// pool, namespace and id. Empty if unknown.
    pub identity: String,
}

/// A process. All fields together distinguish it from every other process that ever ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The machine on which the process runs.
    pub machine: Machine,
    /// The id of the boot (`/proc/sys/kernel/random/boot_id`).
    pub boot: String,
    /// The process's PID namespace (`/proc/self/ns/pid`).
    pub pid_namespace: String,
    /// Its PID in that namespace.
    pub pid: u32,
    /// When it started, in clock ticks since the boot (`/proc/<pid>/stat`, field 22). 0 if unknown.
    pub process_start: u64,
}
