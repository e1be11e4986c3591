//! Tests block devices as targets: zeroed ranges read as zeros, and a device in use is refused.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{Mode, OFlags, open};

use super::{Mount, direct_loop, disk, file, open_target, run};
use crate::conformance::{LoopDevice, fill_target, pattern};
use crate::{FileSource, Source, Target, VolumeError};

const IMAGE_BYTES: usize = 4 << 20;

#[test]
fn both_sector_sizes_hold_what_was_written_and_nothing_beyond_is_touched() {
    for sector_bytes in [512, 4096] {
        for bytes in [1, 5000, (1 << 20) + 13, IMAGE_BYTES - 512, IMAGE_BYTES] {
            let directory = disk();
            let before = pattern(1, IMAGE_BYTES);
            let device = direct_loop(&file(directory.path(), &before), sector_bytes);
            // Old bytes in the page cache must not come back.
            assert!(fs::read(device.path()).expect("the device") == before);
            let target = open_target(device.path(), bytes, true).expect("the target");
            assert!(target.direct());
            let expected = fill_target(&target);
            target.finish().expect("finished");
            let after = fs::read(device.path()).expect("the device");
            assert!(after[..bytes] == expected, "{bytes} bytes, {sector_bytes}-byte sectors");
            assert!(after[bytes..] == before[bytes..], "bytes beyond the volume changed");
        }
    }
}

#[test]
fn zeroing_punches_where_the_device_promises_zeros() {
    let directory = disk();
    let image = file(directory.path(), &pattern(2, IMAGE_BYTES));
    for sector_bytes in [512, 4096] {
        fs::write(&image, pattern(2, IMAGE_BYTES)).expect("data");
        let device = direct_loop(&image, sector_bytes);
        let target = open_target(device.path(), IMAGE_BYTES, true).expect("the target");
        target.zero(0, IMAGE_BYTES as u64).expect("zeroed");
        target.finish().expect("finished");
        drop(target);
        assert!(fs::read(device.path()).expect("the device").iter().all(|byte| *byte == 0));
        assert_eq!(fs::metadata(&image).expect("the image").blocks(), 0, "the room is given back");
    }
}

#[test]
fn zeros_are_written_where_the_device_promises_nothing() {
    let directory = disk();
    // A loop device over ramfs can neither discard nor write zeroes by itself.
    let mount = Mount::new(&["-t", "ramfs", "none"], directory.path().join("ramfs"));
    for sector_bytes in [512, 4096] {
        let image = file(&mount.0, &pattern(3, IMAGE_BYTES));
        let device = LoopDevice::attach(&image, sector_bytes, &[]);
        let name = device.path().file_name().expect("a name").display().to_string();
        let limit = format!("/sys/block/{name}/queue/write_zeroes_max_bytes");
        assert_eq!(fs::read_to_string(limit).expect("the limit").trim(), "0", "no proof otherwise");
        let target = open_target(device.path(), IMAGE_BYTES, true).expect("the target");
        target.zero(700, 3_000_000).expect("zeroed");
        target.finish().expect("finished");
        let mut expected = pattern(3, IMAGE_BYTES);
        expected[700..3_000_700].fill(0);
        assert!(fs::read(device.path()).expect("the device") == expected);
    }
}

#[test]
fn a_device_needs_overwrite_and_room() {
    let directory = disk();
    let device = direct_loop(&file(directory.path(), &pattern(4, IMAGE_BYTES)), 512);
    let volume = device.path().display().to_string();
    let exists = open_target(device.path(), 10, false).expect_err("not asked for");
    assert_eq!(exists, VolumeError::Exists { volume: volume.clone() });
    let small = open_target(device.path(), IMAGE_BYTES + 1, true).expect_err("too small");
    assert_eq!(
        small.to_string(),
        format!(
            "{volume} is too small: it has 4194304 bytes and the volume has 4194305; \
             name a device of at least that size"
        )
    );
}

#[test]
fn a_mounted_device_is_refused_with_its_mount_point() {
    let directory = disk();
    let image = file(directory.path(), &vec![0; 8 << 20]);
    run(Command::new("mkfs.ext4").arg("-q").arg(&image));
    let device = direct_loop(&image, 512);
    let volume = device.path().display().to_string();
    let mount = Mount::new(&["-t", "ext4", &volume], directory.path().join("mount point"));
    let error = open_target(device.path(), 10, true).expect_err("mounted");
    let point = mount.0.display();
    assert_eq!(
        error.to_string(),
        format!("{volume} is in use: it is mounted at {point}; release it or name another target")
    );
    drop(mount);
    open_target(device.path(), 10, true).expect("free now");
}

#[test]
fn a_device_that_another_program_claimed_is_refused() {
    let directory = disk();
    let device = direct_loop(&file(directory.path(), &pattern(5, IMAGE_BYTES)), 512);
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC;
    let claim = open(device.path(), flags, Mode::empty()).expect("a claim");
    let error = open_target(device.path(), 10, true).expect_err("claimed");
    let by = "another program has opened it exclusively".to_owned();
    assert!(matches!(&error, VolumeError::InUse { by: found, .. } if *found == by), "{error}");
    drop(claim);
    let first = open_target(device.path(), 10, true).expect("free now");
    assert!(open_target(device.path(), 10, true).is_err(), "we claim it ourselves");
    drop(first);
}

#[test]
fn a_disk_is_refused_while_a_partition_of_it_is_mounted() {
    let directory = disk();
    let image = file(directory.path(), &vec![0; 16 << 20]);
    let device = LoopDevice::attach(&image, 512, &["--partscan"]);
    // Adds the partition directly, so that this works on a kernel without support for partition tables.
    run(Command::new("addpart").arg(device.path()).args(["1", "2048", "30720"]));
    let disk_name = device.path().display().to_string();
    let partition = format!("{disk_name}p1");
    run(Command::new("mkfs.ext4").args(["-q", &partition]));
    let mount = Mount::new(&["-t", "ext4", &partition], directory.path().join("mounted"));
    let point = mount.0.display();
    let error = open_target(device.path(), 10, true).expect_err("a partition is mounted");
    let name = partition.trim_start_matches("/dev/");
    let expected = format!("its partition {name} is mounted at {point}");
    assert!(error.to_string().contains(&expected), "{error}");
    let error = open_target(Path::new(&partition), 10, true).expect_err("it is mounted itself");
    assert!(error.to_string().contains("it is mounted at"), "{error}");
    drop(mount);
    drop(open_target(device.path(), 10, true).expect("the disk is free"));
    let source = FileSource::open(Path::new(&partition)).expect("a partition is a volume");
    assert_eq!(source.bytes(), 30_720 * 512);
    assert!(source.describe().ends_with("512-byte sectors)"));
}
