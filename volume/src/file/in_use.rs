//! Finds what uses a block device, so that a device in use is never overwritten.
//!
//! The kernel decides: O_EXCL fails if a device is mounted or held. This module finds the reason. If it finds
//! a user, the device is refused even without O_EXCL. It sees only this host, not other hosts that share the disk.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use super::device::DeviceNumber;

/// What uses the device, its partitions or its disk. `None` if no use is known.
pub(super) fn user_of(device: DeviceNumber) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    device.relatives().into_iter().find_map(|(number, who)| {
        if let Some(point) = mount_point(&mounts, number, device_at) {
            return Some(format!("{who} is mounted at {point}"));
        }
        if swaps.lines().skip(1).any(|line| line.split(' ').next().and_then(device_at) == Some(number)) {
            return Some(format!("{who} is used as swap"));
        }
        let holders = number.holders();
        (!holders.is_empty()).then(|| format!("{who} is held by {}", holders.join(", ")))
    })
}

/// Where the device is mounted. Compares the device number of the file system, and the mounted source, because some
/// file systems (btrfs) have device numbers of their own.
fn mount_point(
    mountinfo: &str,
    number: DeviceNumber,
    device_at: impl Fn(&str) -> Option<DeviceNumber>,
) -> Option<String> {
    mountinfo.lines().find_map(|line| {
        let (mount, super_block) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(2);
        let (dev, point) = (mount.next()?, mount.nth(1)?);
        let source = super_block.split(' ').nth(1)?;
        let same = DeviceNumber::parse(dev) == Some(number) || device_at(source) == Some(number);
        same.then(|| unescape(point))
    })
}

/// The block device at `path`. Only paths in `/dev` are accessed, because elsewhere a dead file server could block us.
fn device_at(path: &str) -> Option<DeviceNumber> {
    let path = unescape(path);
    let metadata = path.starts_with("/dev/").then(|| fs::metadata(&path).ok())??;
    metadata.file_type().is_block_device().then(|| DeviceNumber::new(metadata.rdev()))
}

fn unescape(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\\t").replace("\\012", "\\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime - ext4 /dev/root rw
23 22 0:21 / /proc rw - proc proc rw
40 22 0:33 /sub /mnt/with\\040space rw shared:1 master:2 - btrfs /dev/vdb rw
truncated";

    #[test]
    fn a_mount_is_found_by_its_number_and_by_its_source() {
        let number = |text| DeviceNumber::parse(text).expect("a number");
        let vdb = |path: &str| (path == "/dev/vdb").then(|| number("8:16"));
        assert_eq!(mount_point(MOUNTS, number("254:0"), vdb).as_deref(), Some("/"));
        assert_eq!(mount_point(MOUNTS, number("8:16"), vdb).as_deref(), Some("/mnt/with space"));
        assert_eq!(mount_point(MOUNTS, number("8:17"), vdb), None);
    }
}
