//! The conformance suite on a disk and on tmpfs, and errors that only a directory has: read-only, full, vanished, or a
//! file where a directory should be. The mounts need root.

use super::walk::known_kind;
use super::*;
use crate::{StoreErrorKind, conformance, open};
use rustix::io::Errno;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

fn on(parent: &str) -> (TempDir, Arc<dyn Store>) {
    let folder = tempfile::tempdir_in(parent).unwrap();
    let store = open(folder.path().to_str().unwrap(), Access::Existing).unwrap();
    (folder, store)
}

/// A tmpfs of 1 MiB, unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let disk = SmallDisk(tempfile::tempdir().unwrap());
        run("mount", &["-t", "tmpfs", "-o", "size=1m", "septet-test", disk.path()]);
        disk
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    fn make_read_only(&self) {
        run("mount", &["-o", "remount,ro", self.path()]);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", self.path()]).status();
    }
}

/// A directory on a disk: cargo's build directory. /tmp may be tmpfs.
fn disk_path() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

fn run(command: &str, arguments: &[&str]) {
    let output = Command::new(command).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command} {arguments:?} failed (these tests need root): {said}");
}

/// All entries of the directory, temporary files and empty directories included.
fn everything(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(everything(&entry.path()));
        }
        found.push(entry.path());
    }
    found
}

#[test]
fn conformance_on_a_disk() {
    let parent = tempfile::tempdir_in(disk_path()).unwrap();
    conformance::run(|| {
        let folder = tempfile::tempdir_in(&parent).unwrap().keep();
        open(folder.to_str().unwrap(), Access::Existing).unwrap()
    });
}

#[test]
fn conformance_on_tmpfs() {
    let parent = tempfile::tempdir_in("/dev/shm").unwrap();
    conformance::run(|| {
        let folder = tempfile::tempdir_in(&parent).unwrap().keep();
        open(folder.to_str().unwrap(), Access::Existing).unwrap()
    });
}

#[test]
fn create_makes_the_directory_and_existing_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/c");
    let error = Directory::open(&path, Access::Existing).err().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::NotFound);
    assert!(error.to_string().contains("a/b/c"), "{error}");
    Directory::open(&path, Access::Create).unwrap();
    Directory::open(&path, Access::Create).unwrap();
    let store = Directory::open(&path, Access::Existing).unwrap();
    assert_eq!(store.url(), path.to_str().unwrap());
    std::fs::write(folder.path().join("file"), "").unwrap();
    let error = Directory::open(&folder.path().join("file"), Access::Create).err().unwrap();
    assert!(error.to_string().contains("file where a directory is needed"), "{error}");
}

#[test]
fn nothing_is_left_when_all_is_deleted() {
    let (folder, store) = on("/dev/shm");
    store.put("a/b/c", Bytes::new()).unwrap();
    let upload = store.upload("d/e/f").unwrap();
    upload.put_part(0, 0, vec![Bytes::from_static(b"x")]).unwrap();
    upload.abort();
    store.delete(&["a/b/c".to_owned()]).unwrap();
    assert_eq!(everything(folder.path()), [] as [PathBuf; 0]);
}

#[test]
fn a_full_disk_says_so_and_keeps_no_half_object() {
    let disk = SmallDisk::mount();
    let store = open(disk.path(), Access::Existing).unwrap();
    store.put("kept", Bytes::from_static(b"kept")).unwrap();
    let too_much = Bytes::from(vec![7; 2 << 20]);
    let error = store.put("a/put", too_much.clone()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NoSpace);
    assert!(error.to_string().contains(&format!("no space left in {}", disk.path())), "{error}");
    let upload = store.upload("a/upload").unwrap();
    assert_eq!(upload.put_part(0, 0, vec![too_much]).unwrap_err().kind(), StoreErrorKind::NoSpace);
    assert!(upload.finish().unwrap_err().to_string().contains("a part of the object has failed"));
    drop(upload);
    assert_eq!(everything(Path::new(disk.path())), [Path::new(disk.path()).join("kept")]);
    store.put("a/small", Bytes::from_static(b"fits again")).unwrap();
}

#[test]
fn a_read_only_disk_says_so_and_still_reads() {
    let disk = SmallDisk::mount();
    let store = open(disk.path(), Access::Create).unwrap();
    store.put("a/b", Bytes::from_static(b"kept")).unwrap();
    disk.make_read_only();
    let store = open(disk.path(), Access::Create).unwrap();
    let kind = |result: Result<(), StoreError>| result.unwrap_err().kind();
    assert_eq!(kind(store.put("a/c", Bytes::new())), StoreErrorKind::ReadOnly);
    assert_eq!(kind(store.put("new/c", Bytes::new())), StoreErrorKind::ReadOnly);
    assert_eq!(kind(store.put_if_absent("a/c", Bytes::new())), StoreErrorKind::ReadOnly);
    assert_eq!(kind(store.upload("a/c").map(drop)), StoreErrorKind::ReadOnly);
    assert_eq!(kind(store.delete(&["a/b".to_owned()])), StoreErrorKind::ReadOnly);
    assert_eq!(store.get("a/b", 10).unwrap(), b"kept");
    assert_eq!(store.list("").unwrap().len(), 1);
}

#[test]
fn a_root_that_is_gone_is_not_made_again() {
    let (folder, store) = on("/dev/shm");
    std::fs::remove_dir(folder.path()).unwrap();
    assert_eq!(store.put("a/b", Bytes::new()).unwrap_err().kind(), StoreErrorKind::NotFound);
    assert_eq!(store.list("").unwrap_err().kind(), StoreErrorKind::NotFound);
    assert!(!folder.path().exists());
}

#[test]
fn what_is_in_the_way_is_named() {
    let (_folder, store) = on("/dev/shm");
    store.put("file", Bytes::new()).unwrap();
    store.put("folder/file", Bytes::new()).unwrap();
    let error = store.put("file/below", Bytes::new()).unwrap_err();
    assert!(error.to_string().contains("a file where a directory is needed"), "{error}");
    let error = store.put("folder", Bytes::new()).unwrap_err();
    assert!(error.to_string().contains("there is a directory of that name"), "{error}");
}

#[test]
fn links_pipes_and_foreign_names_are_no_objects() {
    let (folder, store) = on("/dev/shm");
    symlink("/etc/passwd", folder.path().join("link")).unwrap();
    symlink("/etc", folder.path().join("folder")).unwrap();
    run("mkfifo", &[folder.path().join("pipe").to_str().unwrap()]);
    std::fs::write(folder.path().join(".tmp-left"), "").unwrap();
    assert_eq!(store.list("").unwrap(), []);
    assert!(!store.is_empty().unwrap());
    assert!(store.list_children("").unwrap().is_empty());
    assert!(store.get("link", 1 << 20).unwrap_err().to_string().contains("symbolic link"));
    assert_eq!(store.get("pipe", 10).unwrap_err().kind(), StoreErrorKind::NotFound);
    assert_eq!(store.abort_unfinished("").unwrap(), 1);
}

/// How many pages of a file are in memory.
fn cached_pages(path: &Path) -> usize {
    let output = Command::new("fincore").args(["-n", "-o", "PAGES"]).arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

#[test]
fn large_objects_stay_out_of_the_page_cache_with_and_without_direct_io() {
    let folder = tempfile::tempdir_in(disk_path()).unwrap();
    let root = Arc::new(Root::at(folder.path()).unwrap());
    for with_direct in [true, false] {
        let (mut temporary, file) = Temporary::create(&root, "a").unwrap();
        let direct = temporary.open_direct().filter(|_| with_direct);
        let writer = writer::Writer::new(file, direct);
        writer.write_at(0, &[Bytes::from(vec![1; 4 << 20])]).unwrap();
        writer.finish(4 << 20).unwrap();
        temporary.publish("a").unwrap();
        assert_eq!(cached_pages(&folder.path().join("a")), 0, "direct: {with_direct}");
    }
    std::fs::read(folder.path().join("a")).unwrap();
    assert!(cached_pages(&folder.path().join("a")) > 0, "the count counts");
}

#[test]
fn more_objects_than_are_kept_open() {
    let (_folder, store) = on("/dev/shm");
    for round in 0..2 {
        for number in 0..200u32 {
            let key = format!("segments/{number:06}");
            if round == 0 {
                store.put(&key, Bytes::from(number.to_le_bytes().to_vec())).unwrap();
            }
            let mut buf = [0; 4];
            store.read_at(&key, 0, &mut buf).unwrap();
            assert_eq!(u32::from_le_bytes(buf), number);
        }
    }
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(descriptors < 400, "{descriptors} descriptors are open");
}

#[test]
fn an_entry_of_unreadable_type_is_an_error_and_a_vanished_one_is_not() {
    let failed = |errno: Errno| known_kind(Err(std::io::Error::from(errno)));
    assert_eq!(failed(Errno::IO), Err(Errno::IO));
    assert_eq!(failed(Errno::ACCESS), Err(Errno::ACCESS));
    assert_eq!(failed(Errno::NOENT), Ok(None));
    let kind = std::fs::metadata("/").unwrap().file_type();
    assert_eq!(known_kind(Ok(kind)), Ok(Some(kind)));
}
