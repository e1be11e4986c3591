//! Failing storage: real read and write errors, and a full file system.

use std::fs::OpenOptions;
use std::process::Command;

use super::{Mount, direct_loop, disk, file, open_target, run};
use crate::conformance::{LoopDevice, pattern};
use crate::error::ByteRange;
use crate::file::AlignedBuf;
use crate::{FileSource, Source, Target, VolumeError};

#[test]
fn a_read_error_names_the_exact_range() {
    for sector_bytes in [512, 4096] {
        let directory = disk();
        let expected = pattern(1, 4 << 20);
        let image = file(directory.path(), &expected);
        let device = direct_loop(&image, sector_bytes);
        let source = FileSource::open(device.path()).expect("the source");
        // The device keeps its size. Reads and writes beyond the file's end fail.
        let (block, good_end) = (1 << 20, (1 << 20) + 40_960);
        let shorten = OpenOptions::new().write(true).open(&image);
        shorten.and_then(|file| file.set_len(good_end)).expect("shortened");
        let mut buf = AlignedBuf::new(1 << 20);
        source.read_at(0, buf.as_mut_slice()).expect("the good block");
        assert!(buf.as_slice() == &expected[..1 << 20]);
        let error = source.read_at(block, buf.as_mut_slice()).expect_err("a bad block");
        let path = device.path().display();
        assert_eq!(
            error.to_string(),
            format!(
                "{path}: bytes {good_end}..2097152 cannot be read (input/output error); \
                 check the storage below it"
            )
        );
        assert_eq!(source.check_size(), Ok(None));
    }
}

#[test]
fn a_write_error_names_the_range() {
    let directory = disk();
    let image = file(directory.path(), &pattern(1, 1 << 20));
    // A small file system with a larger sparse file in it. A device over this file can't be filled.
    let mount = Mount::new(&["-t", "tmpfs", "-o", "size=1m", "none"], directory.path().join("small"));
    let thin = mount.0.join("thin");
    std::fs::File::create(&thin).and_then(|file| file.set_len(8 << 20)).expect("a thin image");
    let device = LoopDevice::attach(&thin, 512, &[]);
    let target = open_target(device.path(), 8 << 20, true).expect("the target");
    let data = std::fs::read(image).expect("data");
    let error = (0..8).find_map(|index| target.write_at(index << 20, &data).err());
    match error.expect("no room for all of it") {
        VolumeError::Unwritable { range: ByteRange { start, end }, reason, .. } => {
            assert_eq!(end - start, 1 << 20);
            assert_eq!(reason, "input/output error");
        }
        VolumeError::NoSpace { .. } => {}
        error => panic!("{error}"),
    }
}

#[test]
fn a_full_file_system_is_said_to_be_full() {
    let directory = disk();
    let image = directory.path().join("image");
    std::fs::File::create(&image).and_then(|file| file.set_len(8 << 20)).expect("an image");
    run(Command::new("mkfs.ext4").args(["-q", "-b", "4096"]).arg(&image));
    let device = direct_loop(&image, 4096);
    let tmpfs = Mount::new(&["-t", "tmpfs", "-o", "size=1m", "none"], directory.path().join("a"));
    let arguments = ["-t", "ext4", &device.path().display().to_string()];
    let ext4 = Mount::new(&arguments, directory.path().join("b"));
    for mount in [&tmpfs, &ext4] {
        let path = mount.0.join("volume");
        let target = open_target(&path, 64 << 20, false).expect("the target");
        let data = pattern(2, 1 << 20);
        let error = (0..64).find_map(|index| target.write_at(index << 20, &data).err());
        assert_eq!(
            error.expect("no room").to_string(),
            format!("{}: no space left on device; free some space or name another target", path.display())
        );
        drop(target);
        let left = std::fs::read_dir(&mount.0).expect("the directory").flatten();
        assert!(left.into_iter().all(|entry| entry.file_name() == "lost+found"));
    }
}
