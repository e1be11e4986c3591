//! Tests that unsuitable paths are refused as volumes, each with one clear line.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;

use super::{direct_loop, disk, file, open_target};
use crate::conformance::LoopDevice;
use crate::{FileSource, same_file};

fn source_error(path: &Path) -> String {
    FileSource::open(path).expect_err("no volume").to_string()
}

fn target_error(path: &Path) -> String {
    open_target(path, 10, true).expect_err("no volume").to_string()
}

#[test]
fn what_is_no_volume_is_named() {
    let directory = disk();
    let at = |name| directory.path().join(name);
    mkfifoat(CWD, at("fifo"), Mode::RUSR).expect("a FIFO");
    let _socket = UnixListener::bind(at("socket")).expect("a socket");
    symlink("/nowhere", at("link")).expect("a link");
    let cases = [
        (directory.path().to_path_buf(), "a directory"),
        (at("fifo"), "a FIFO"),
        (at("socket"), "a socket"),
        (at("link"), "a broken link"),
        ("/dev/null".into(), "a character device"),
    ];
    for (path, what) in cases {
        let path_text = path.display();
        let expected = format!("{path_text} is {what}: name a regular file or a block device");
        assert_eq!(source_error(&path), expected);
        assert_eq!(target_error(&path), expected);
    }
}

#[test]
fn what_does_not_exist_is_named_on_one_line() {
    let directory = disk();
    let missing = directory.path().join("no\nsuch");
    assert!(source_error(&missing).ends_with("/no\\nsuch does not exist: check the path"));
    let within = missing.join("file");
    assert!(target_error(&within).ends_with("/no\\nsuch does not exist: check the path"));
    let file = file(directory.path(), b"x");
    assert!(source_error(&file.join("x")).ends_with("cannot open it: not a directory"));
}

#[test]
fn what_may_not_be_opened_is_named() {
    let directory = disk();
    let path = file(directory.path(), b"secret");
    let path_text = path.display().to_string();
    let device = LoopDevice::attach(&path, 512, &["--read-only"]);
    let expected = |path| {
        format!(
            "{path}: cannot open it: permission denied; \
             run as a user with the right to do it, and check that it is not read-only"
        )
    };
    assert_eq!(
        open_target(device.path(), 0, true).map(drop).map_err(|error| error.to_string()),
        Err(expected(device.path().display().to_string()))
    );
    let modes = std::os::unix::fs::PermissionsExt::from_mode;
    std::fs::set_permissions(&path, modes(0o600)).expect("for its owner alone");
    std::fs::set_permissions(directory.path(), modes(0o755)).expect("for all to enter");
    let as_nobody = thread::spawn(move || {
        // The system call changes only this thread's user, not that of the process.
        let nobody = Uid::from_raw(65534);
        set_thread_res_uid(nobody, nobody, nobody).expect("this test needs root");
        let beside = path.with_file_name("new");
        let new = open_target(&beside, 1, false).expect_err("may not create").to_string();
        (source_error(&path), target_error(&path), new)
    });
    let (source, target, new) = as_nobody.join().expect("the thread");
    assert_eq!(source, expected(path_text.clone()));
    assert_eq!(target, expected(path_text.clone()));
    assert_eq!(new, expected(path_text.replace("/volume", "/new")));
}

#[test]
fn the_same_volume_is_known_by_any_path() {
    let directory = disk();
    let path = file(directory.path(), &[0; 4096]);
    let (link, other) = (directory.path().join("link"), directory.path().join("other"));
    symlink(&path, &link).expect("a link");
    std::fs::write(&other, "other").expect("another file");
    assert!(same_file(&path, &link));
    assert!(!same_file(&path, &other));
    assert!(!same_file(&path, Path::new("/nowhere")) && !same_file(Path::new("/nowhere"), Path::new("/nowhere")));
    let device = direct_loop(&path, 512);
    let device_link = directory.path().join("device");
    symlink(device.path(), &device_link).expect("a link");
    assert!(same_file(device.path(), &device_link));
    assert!(!same_file(device.path(), &path));
}
