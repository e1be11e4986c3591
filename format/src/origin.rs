//! Where a backup came from, and who did what: machines, sources and processes.

use serde::{Deserialize, Serialize};

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Its id (`/etc/machine-id`); empty where there is none.
    pub id: String,
    /// Its host name, for people.
    pub name: String,
}

/// What a backup was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// As the user named it.
    pub name: String,
    /// `file`, `device` or `image`; later versions may add others.
    pub kind: String,
    /// What tells it from every other source: a device's serial number or WWN, otherwise the canonical path;
    /// pool, namespace and id of an RBD image. Empty if unknown.
    pub identity: String,
}

/// A process: all fields together tell it from every other that ever ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The machine on which it runs.
    pub machine: Machine,
    /// The boot's id (`/proc/sys/kernel/random/boot_id`).
    pub boot: String,
    /// The namespace in which its number holds (`/proc/self/ns/pid`).
    pub pid_namespace: String,
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since the boot (`/proc/<pid>/stat`, field 22); 0 if unknown.
    pub process_start: u64,
}
