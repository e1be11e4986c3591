//! Sources that cannot be backed up, and sources that change or fail while they are read: one clear line, and
//! nothing of the backup stays.

use std::fs::{File, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::process::Signal;
use septet_tests::content::noise;
use septet_tests::fault::{Site, assert_fails, notes, without_privileges};
use septet_tests::{LoopDevice, Running, Scratch, command, septet};

const MIB: usize = 1 << 20;

#[test]
fn what_is_no_file_and_no_device_is_refused_by_name() {
    let site = Site::new(MIB);
    let fifo = site.scratch.path("fifo");
    command("mkfifo", [&fifo]);
    let socket = site.scratch.path("socket");
    let _listener = UnixListener::bind(&socket).expect("a socket");
    let link = site.scratch.path("link");
    std::os::unix::fs::symlink("nowhere", &link).expect("a link");
    for (path, why) in [
        (site.scratch.path("missing"), "missing does not exist: check the path"),
        (link, "link does not exist: check the path"),
        (site.scratch.dir().to_owned(), "is a directory: name a regular file or a block device"),
        (fifo, "is a FIFO: name a regular file or a block device"),
        (socket, "is a socket: name a regular file or a block device"),
        ("/dev/null".into(), "is a character device: name a regular file or a block device"),
    ] {
        let outcome = site.repo.septet(["backup", "--volume", "vol"]).arg(&path).run();
        assert_fails(&outcome, 1, why);
        assert_fails(&outcome, 1, path.to_str().expect("UTF-8"));
    }
    site.assert_as_before();
}

#[test]
fn a_missing_source_makes_no_repository() {
    let scratch = Scratch::in_memory();
    assert_fails(&scratch.repo().backup_command(&scratch.path("missing")).run(), 1, "does not exist");
    assert!(!scratch.repo().path().exists());
}

#[test]
fn a_source_that_may_not_be_read_is_refused() {
    let site = Site::new(MIB);
    std::fs::set_permissions(&site.source, PermissionsExt::from_mode(0o000)).expect("permissions");
    let repo = site.repo.path().to_str().expect("UTF-8");
    let outcome = without_privileges(&site.backup(&["--repo", repo]));
    assert_fails(&outcome, 1, "source: cannot open it: permission denied; run as a user with the right to do it");
    site.assert_as_before();
}

#[test]
fn paths_that_are_no_text_are_refused_and_odd_ones_taken() {
    let site = Site::new(MIB);
    let path = site.scratch.path("").join(std::ffi::OsStr::from_bytes(b"bad\xff"));
    std::fs::copy(&site.source, &path).expect("a copy");
    assert_fails(&site.repo.backup_command(&path).run(), 2, "is not UTF-8: give it another name, or a link to it");
    site.assert_as_before();
    let disk = Scratch::on_disk();
    let path = disk.file("two words\nand lines", &site.content);
    assert_eq!(site.repo.backup(&path, &[]).volume, "two_words_and_lines");
}

#[test]
fn names_that_can_be_no_key_are_refused_as_wrong_usage() {
    let site = Site::new(MIB);
    let long = "x".repeat(300);
    for name in ["a/b", "..", ".", "", "a b", ".hidden", "-dash", "ä", "a\nb", &long] {
        for option in ["--volume", "--id", "--parent"] {
            let outcome = site.repo.septet(["backup", &format!("{option}={name}")]).arg(&site.source).run().exits(2);
            assert!(outcome.stderr.contains(option) && outcome.stdout.is_empty(), "{}", outcome.stderr);
        }
        assert_ne!(site.repo.septet(["show", "--", name]).run().status, Some(0), "{name}");
    }
    let no_text = std::ffi::OsStr::from_bytes(b"--volume=\xff");
    let outcome = site.repo.septet(["backup".as_ref(), no_text]).arg(&site.source).run().exits(2);
    assert!(outcome.stderr.contains("UTF-8"), "{}", outcome.stderr);
    site.assert_as_before();
}

#[test]
fn ids_that_are_taken_and_ids_that_are_not_there_are_named() {
    let site = Site::new(MIB);
    let backup = |args: &[&str]| site.repo.septet(site.backup(args)).run();
    assert_fails(&backup(&["--id", "earlier"]), 1, "backup vol/earlier exists already: choose another --id");
    assert_fails(&backup(&["--parent", "nobody"]), 1, "there is no backup vol/nobody in");
    let target = site.scratch.path("target");
    let target = target.to_str().expect("UTF-8");
    for name in ["nobody", "vol/nobody", "nothing@latest", "nothing/earlier"] {
        for words in [
            &["show", name][..],
            &["delete", "earlier", name],
            &["verify", name],
            &["rebuild", name],
            &["restore", name, target],
        ] {
            assert_fails(&site.repo.septet(words).run(), 1, &format!("there is no backup {name} in"));
        }
    }
    assert_fails(&site.repo.septet(["list", "nothing"]).run(), 1, "the repository has no volume nothing");
    site.assert_as_before();
}

/// A backup whose reader is stopped after it began to read the source and long before the end of the source: the
/// rest of the pipeline needs seconds for the remaining data.
fn held(site: &Site, source: &Path, args: &[&str]) -> (Running, septet_tests::Process) {
    let mut run = site.repo.backup_command(source).args(["--volume", "vol", "--id", "new"]).args(args).spawn();
    let reader = run.agent("reader").expect("a reader");
    let has_read = |_: &mut Running| {
        let io = std::fs::read_to_string(format!("/proc/{}/io", reader.pid)).ok()?;
        let bytes = io.lines().find_map(|line| line.strip_prefix("rchar: "))?.parse::<usize>().ok()?;
        (bytes >= MIB).then_some(())
    };
    run.wait_until(has_read).expect("the source is read");
    reader.signal(Signal::STOP);
    (run, reader)
}

#[test]
fn a_source_that_shrinks_while_it_is_read_fails_the_backup() {
    let site = Site::new(256 * MIB);
    let (run, reader) = held(&site, &site.source, &["--streams", "1"]);
    let file = OpenOptions::new().write(true).open(&site.source).expect("the source");
    file.set_len(192 * MIB as u64 + 1).expect("shrinking");
    reader.signal(Signal::CONT);
    assert_fails(&run.wait(), 1, "shrank from 268435456 to 201326593 bytes while it was read; back it up again");
    site.assert_as_before();
}

#[test]
fn a_source_that_grows_while_it_is_read_is_backed_up_as_it_began() {
    let site = Site::new(256 * MIB);
    let (run, reader) = held(&site, &site.source, &[]);
    let file = OpenOptions::new().write(true).open(&site.source).expect("the source");
    file.set_len(257 * MIB as u64).expect("growing");
    reader.signal(Signal::CONT);
    let outcome = run.wait().exits(0);
    assert!(notes(&outcome).contains("grew to 269484032 bytes while it was read"), "{outcome:?}");
    site.settle();
    site.assert_earlier_restores();
}

#[test]
fn a_bad_disk_fails_the_backup_and_the_bad_range_is_named() {
    let site = Site::new(MIB);
    let scratch = Scratch::on_disk();
    let (bytes, good) = (8 * MIB, 5 * MIB + 40_960);
    let image = scratch.file("image", &noise(3, bytes));
    for sector_bytes in [512, 4096] {
        File::options().write(true).open(&image).and_then(|file| file.set_len(bytes as u64)).expect("a good image");
        let device = LoopDevice::attach(&image, sector_bytes, &["--direct-io=on"]);
        File::options().write(true).open(&image).and_then(|file| file.set_len(good as u64)).expect("a bad image");
        let outcome =
            septet(["backup", "--volume", "vol", "--streams", "1", "--block-size", "1MiB", "--full", "--repo"])
                .arg(site.repo.path())
                .arg(device.path())
                .run();
        let device = device.path().display();
        let range = format!(
            "{device}: bytes {good}..{} cannot be read (input/output error); check the storage below it",
            6 * MIB
        );
        assert_fails(&outcome, 1, &range);
        site.assert_as_before();
    }
}
