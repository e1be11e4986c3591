//! Tests that existing target files are written in place, truncated or extended, and reliably zeroed.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::{Mount, disk, file, open_target, tmpfs};
use crate::conformance::{fill_target, pattern};
use crate::{Target, VolumeError};

#[test]
fn it_is_written_in_place_and_gets_the_volumes_size() {
    for directory in [disk(), tmpfs()] {
        for bytes in [0, 5000, 1 << 20, (3 << 20) + 700] {
            let path = file(directory.path(), &pattern(1, 2 << 20));
            let inode = fs::metadata(&path).expect("the file").ino();
            let target = open_target(&path, bytes, true).expect("the target");
            let expected = fill_target(&target);
            target.finish().expect("finished");
            drop(target);
            assert!(fs::read(&path).expect("the file") == expected, "{bytes} bytes differ");
            assert_eq!(fs::metadata(&path).expect("the file").ino(), inode);
        }
    }
}

#[test]
fn zeroing_gives_its_room_back() {
    for directory in [disk(), tmpfs()] {
        let path = file(directory.path(), &pattern(2, (8 << 20) + 13));
        let target = open_target(&path, (8 << 20) + 13, true).expect("the target");
        target.zero(0, (8 << 20) + 13).expect("zeroed");
        target.finish().expect("finished");
        assert!(fs::read(&path).expect("the file").iter().all(|byte| *byte == 0));
        assert!(fs::metadata(&path).expect("the file").blocks() * 512 <= 8192);
    }
}

#[test]
fn zeros_are_written_where_no_hole_can_be_made() {
    let directory = disk();
    let mount = Mount::new(&["-t", "ramfs", "none"], directory.path().join("ramfs"));
    let path = file(&mount.0, &pattern(3, (3 << 20) + 13));
    let target = open_target(&path, (3 << 20) + 13, true).expect("the target");
    assert!(!target.direct(), "ramfs has no O_DIRECT");
    let expected = fill_target(&target);
    target.finish().expect("finished");
    assert!(fs::read(&path).expect("the file") == expected);
}

#[test]
fn it_takes_the_users_word_even_for_an_empty_file() {
    let directory = disk();
    let path = file(directory.path(), b"");
    let error = open_target(&path, 10, false).expect_err("not asked for");
    let path_text = path.display();
    assert_eq!(error.to_string(), format!("{path_text} exists; add --overwrite to overwrite it"));
    let first = open_target(&path, 10, true).expect("the target");
    let second = open_target(&path, 10, true);
    assert!(matches!(second, Err(VolumeError::InUse { .. })), "another run is writing it");
    drop(first);
    assert_eq!(fs::metadata(&path).expect("it stays, unfinished or not").len(), 10);
}
