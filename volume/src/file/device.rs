//! Properties of a block device from sysfs: sector size, partitions, disk, holders.
//!
//! Everything is read from `/sys/dev/block/MAJOR:MINOR`, so that no ioctl is needed.

use std::fs;
use std::path::PathBuf;

use rustix::fs::{Dev, major, minor};

/// The kernel's smallest sector, and the default if sysfs does not report the size.
const SECTOR_BYTES_MIN: u64 = 512;

/// A block device by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeviceNumber {
    major: u32,
    minor: u32,
}

impl std::fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl DeviceNumber {
    pub(super) fn new(dev: Dev) -> Self {
        Self { major: major(dev), minor: minor(dev) }
    }

    fn sysfs(self) -> PathBuf {
        PathBuf::from(format!("/sys/dev/block/{self}"))
    }

    /// The logical sector size, the smallest unit that the device reads or writes.
    pub(super) fn sector_bytes(self) -> u64 {
        ["queue/logical_block_size", "../queue/logical_block_size"]
            .iter()
            .find_map(|path| fs::read_to_string(self.sysfs().join(path)).ok()?.trim().parse().ok())
            .filter(|bytes: &u64| bytes.is_power_of_two())
            .map_or(SECTOR_BYTES_MIN, |bytes| bytes.max(SECTOR_BYTES_MIN))
    }

    /// Whether the kernel refuses writes. Some drivers allow an open for writing anyway.
    pub(super) fn read_only(self) -> bool {
        fs::read_to_string(self.sysfs().join("ro")).is_ok_and(|ro| ro.trim() != "0")
    }

    /// The devices that share bytes with this one: itself, its partitions, and the disk that contains it.
    pub(super) fn relatives(self) -> Vec<(DeviceNumber, String)> {
        let sysfs = self.sysfs();
        let mut found = vec![(self, "it".to_owned())];
        if sysfs.join("partition").exists()
            && let Some(disk) = read_number(sysfs.join("../dev"))
        {
            found.push((disk, "the disk it is a partition of".to_owned()));
        }
        for entry in fs::read_dir(&sysfs).into_iter().flatten().flatten() {
            if entry.path().join("partition").exists()
                && let Some(part) = read_number(entry.path().join("dev"))
            {
                found.push((part, format!("its partition {}", entry.file_name().display())));
            }
        }
        found
    }

    /// The devices on top of this one, such as `dm-0` or `md127`.
    pub(super) fn holders(self) -> Vec<String> {
        let entries = fs::read_dir(self.sysfs().join("holders")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().display().to_string()).collect()
    }

    /// Parses `MAJOR:MINOR`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once(':')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

fn read_number(path: PathBuf) -> Option<DeviceNumber> {
    DeviceNumber::parse(&fs::read_to_string(path).ok()?)
}
