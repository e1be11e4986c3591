//! Tests that new target files are sparse, get their name only when complete, and are removed if never completed.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::{disk, open_target, tmpfs};
use crate::conformance::{fill_target, pattern};
use crate::{Target, VolumeError, discard_abandoned};

fn partial(path: &Path) -> PathBuf {
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    path.with_file_name(format!(".{name}.septet-partial"))
}

#[test]
fn it_holds_what_was_written_at_any_size() {
    for directory in [disk(), tmpfs()] {
        for bytes in [0, 1, 511, 4096, 5000, 65536, (1 << 20) + 13] {
            let path = directory.path().join(format!("volume {bytes}"));
            let target = open_target(&path, bytes, false).expect("the target");
            let expected = fill_target(&target);
            assert!(!path.exists() && partial(&path).exists(), "its name comes last");
            target.finish().expect("finished");
            assert!(!partial(&path).exists());
            target.finish().expect("finishing twice is no matter");
            drop(target);
            assert!(fs::read(&path).expect("the file") == expected, "{bytes} bytes differ");
            let mode = fs::metadata(&path).expect("the file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}

#[test]
fn zeros_take_no_room() {
    for directory in [disk(), tmpfs()] {
        let path = directory.path().join("volume");
        let bytes = (64 << 20) + 13;
        let target = open_target(&path, bytes, false).expect("the target");
        target.write_at(1 << 20, &pattern(1, 4096)).expect("written");
        target.zero(0, 1 << 20).expect("zeroed");
        target.zero((1 << 20) + 4096, bytes as u64 - (1 << 20) - 4096).expect("zeroed");
        target.finish().expect("finished");
        let metadata = fs::metadata(&path).expect("the file");
        assert_eq!(metadata.size(), bytes as u64);
        assert!(metadata.blocks() * 512 <= 16384, "{} blocks", metadata.blocks());
    }
}

/// A volume of blocks. In each block every other run of pages is zero, with runs of 1 page, 2 pages and so on.
fn pages_of_zeros_and_of_data(bytes: usize) -> (Vec<u8>, u64) {
    let mut content = pattern(3, bytes);
    let mut data_bytes = bytes as u64;
    for block in content.chunks_mut(1 << 20) {
        let (mut page, mut run) = (0, 1);
        while (page + run) * 4096 <= block.len() {
            block[page * 4096..(page + run) * 4096].fill(0);
            data_bytes -= run as u64 * 4096;
            (page, run) = (page + 2 * run, run + 1);
        }
    }
    (content, data_bytes)
}

#[test]
fn pages_of_zeros_inside_a_block_stay_holes_also_where_room_was_reserved() {
    for directory in [disk(), tmpfs()] {
        let path = directory.path().join("volume");
        let (content, data_bytes) = pages_of_zeros_and_of_data((16 << 20) + 700);
        let target = open_target(&path, content.len(), false).expect("the target");
        target.reserve(0, 8 << 20);
        for (index, block) in content.chunks(1 << 20).enumerate() {
            target.write_at((index as u64) << 20, block).expect("written");
        }
        target.finish().expect("finished");
        assert!(fs::read(&path).expect("the file") == content);
        let room_bytes = fs::metadata(&path).expect("the file").blocks() * 512;
        // The rest of the last page, and the file system's metadata.
        let most_bytes = data_bytes + 4096 + (64 << 10);
        assert!(room_bytes <= most_bytes, "{room_bytes} bytes for {data_bytes}");
        assert!((content.len() as u64) > 3 * data_bytes / 2, "the test has pages of zeros");
    }
}

#[test]
fn dense_blocks_keep_the_room_that_was_reserved() {
    let directory = disk();
    let path = directory.path().join("volume");
    let content = pattern(4, 8 << 20);
    let target = open_target(&path, content.len(), false).expect("the target");
    target.reserve(0, 8 << 20);
    target.write_at(0, &content[..1 << 20]).expect("written");
    assert!(fs::metadata(partial(&path)).expect("the file").blocks() * 512 >= 8 << 20);
    target.write_at(1 << 20, &content[1 << 20..]).expect("written");
    target.finish().expect("finished");
    assert!(fs::read(&path).expect("the file") == content);
}

#[test]
fn what_is_reserved_has_its_room_and_reads_as_zeros() {
    const LEAST: usize = 8 << 20;
    let least = LEAST as u64;
    for directory in [disk(), tmpfs()] {
        let path = directory.path().join("volume");
        let target = open_target(&path, 4 * LEAST, false).expect("the target");
        let room = || fs::metadata(partial(&path)).expect("the file").blocks() * 512;
        target.reserve(0, least - 1);
        target.reserve(4 * least - 1, least);
        target.reserve(u64::MAX, least);
        assert!(room() < least, "too little, or beyond the end");
        target.reserve(least, least);
        assert!((least..2 * least).contains(&room()), "{} bytes", room());
        target.write_at(2 * least - 4096, &pattern(1, 8192)).expect("written");
        target.finish().expect("finished");
        let content = fs::read(&path).expect("the file");
        let at = 2 * LEAST - 4096;
        assert!(content.len() == 4 * LEAST && content[at..at + 8192] == pattern(1, 8192));
        assert!(content[..at].iter().chain(&content[at + 8192..]).all(|&byte| byte == 0));
    }
}

#[test]
fn unfinished_it_goes() {
    let directory = disk();
    let path = directory.path().join("volume");
    let target = open_target(&path, 10, false).expect("the target");
    target.discard_unfinished();
    assert!(!partial(&path).exists());
    drop(open_target(&path, 10, false).expect("the target"));
    assert_eq!(fs::read_dir(directory.path()).expect("the directory").count(), 0);
}

#[test]
fn what_appears_meanwhile_is_kept_unless_overwrite_is_given() {
    let directory = disk();
    let path = directory.path().join("volume");
    for overwrite in [false, true] {
        let target = open_target(&path, 4, overwrite).expect("the target");
        target.write_at(0, b"ours").expect("written");
        fs::write(&path, "theirs").expect("another file");
        let finished = target.finish();
        let (expected, kept) = if overwrite {
            (Ok(()), "ours")
        } else {
            (Err(VolumeError::Exists { volume: path.display().to_string() }), "theirs")
        };
        assert_eq!(finished, expected);
        drop(target);
        assert_eq!(fs::read_to_string(&path).expect("the file"), kept);
        assert!(!partial(&path).exists());
        fs::remove_file(&path).expect("removed");
    }
}

#[test]
fn the_file_of_a_dead_run_is_replaced_and_nothing_of_it_is_used() {
    let directory = disk();
    let path = directory.path().join("volume");
    let precious = directory.path().join("precious");
    fs::write(&precious, "precious").expect("a file");
    let leftovers: [&dyn Fn(); 3] = [
        &|| fs::write(partial(&path), "left over").expect("a leftover"),
        &|| symlink(&precious, partial(&path)).expect("a symbolic link"),
        &|| fs::hard_link(&precious, partial(&path)).expect("a hard link"),
    ];
    for leave in leftovers {
        leave();
        let target = open_target(&path, 20, false).expect("the target");
        target.finish().expect("finished");
        assert_eq!(fs::read(&path).expect("the file"), [0; 20]);
        assert_eq!(fs::read_to_string(&precious).expect("the other file"), "precious");
        fs::remove_file(&path).expect("removed");
    }
}

#[test]
fn only_what_a_dead_run_left_is_discarded() {
    for directory in [disk(), tmpfs()] {
        let path = directory.path().join("volume");
        assert!(!discard_abandoned(&path), "there is nothing");
        assert!(!discard_abandoned(&directory.path().join("absent/volume")), "not even a directory");
        assert!(!discard_abandoned(Path::new("/")));
        let target = open_target(&path, 5, false).expect("the target");
        assert!(!discard_abandoned(&path) && partial(&path).exists(), "its writer lives");
        target.finish().expect("finished");
        assert!(!discard_abandoned(&path) && path.exists(), "it is finished");
        fs::write(partial(&path), "left over").expect("a leftover");
        assert!(discard_abandoned(&path) && !partial(&path).exists());
        assert_eq!(fs::read(&path).expect("the file"), [0; 5], "what has its name stays");
        symlink(&path, partial(&path)).expect("a symbolic link");
        assert!(discard_abandoned(&path) && path.exists());
        fs::create_dir(partial(&path)).expect("a directory");
        assert!(!discard_abandoned(&path) && partial(&path).exists(), "it is not ours");
    }
}

#[test]
fn two_writers_of_one_name_are_one_too_many() {
    let directory = disk();
    let path = directory.path().join("volume");
    let first = open_target(&path, 5, false).expect("the target");
    let second = open_target(&path, 5, false).expect_err("the second");
    let path_text = path.display();
    assert_eq!(
        second.to_string(),
        format!("{path_text} is in use: another process is writing it; wait for it or name another target")
    );
    first.write_at(0, b"first").expect("written");
    first.finish().expect("finished");
    assert_eq!(fs::read_to_string(&path).expect("the file"), "first");
}

#[test]
fn a_name_of_any_length_that_the_file_system_takes_is_taken() {
    let directory = disk();
    let path = directory.path().join("x".repeat(255));
    open_target(&path, 1, false).and_then(|target| target.finish()).expect("finished");
    assert!(path.exists());
    let too_long = open_target(&directory.path().join("x".repeat(256)), 1, false);
    assert!(too_long.is_err_and(|error| error.to_string().ends_with("file name too long")));
}
