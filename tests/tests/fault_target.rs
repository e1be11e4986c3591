//! Targets that a restore must refuse, and targets that fail during a restore: one clear line, no partial file under
//! the target's name, and earlier data are untouched.

use std::path::Path;

use rustix::process::Signal;
use septet_tests::content::noise;
use septet_tests::fault::{Site, assert_fails, notes};
use septet_tests::{LoopDevice, Mount, Outcome, Scratch, assert_bytes, assert_gone, command};

const MIB: usize = 1 << 20;

fn restore(site: &Site, target: &Path, args: &[&str]) -> Outcome {
    site.repo.restore_command("vol/earlier", target).args(args).run()
}

#[test]
fn what_exists_is_not_written_over_unasked() {
    let site = Site::new(MIB);
    let file = site.scratch.file("file", b"precious");
    assert_fails(&restore(&site, &file, &[]), 1, "file exists; add --overwrite to overwrite it");
    assert_bytes(&file, b"precious");
    let fifo = site.scratch.path("fifo");
    command("mkfifo", [&fifo]);
    for args in [&[][..], &["--overwrite"]] {
        assert_fails(&restore(&site, &fifo, args), 1, "fifo");
        assert_fails(&restore(&site, site.scratch.dir(), args), 1, site.scratch.dir().to_str().expect("UTF-8"));
    }
    assert_fails(&restore(&site, &site.scratch.path("no/file"), &[]), 1, "no does not exist: check the path");
    site.assert_as_before();
}

#[test]
fn the_source_itself_is_not_written_over_unasked() {
    let site = Site::new(MIB);
    let outcome = restore(&site, &site.source, &[]);
    assert_fails(&outcome, 1, "is the volume that this backup was made from: add --overwrite to overwrite it");
    let link = site.scratch.path("link");
    std::os::unix::fs::symlink(&site.source, &link).expect("a link");
    assert_fails(&restore(&site, &link, &[]), 1, "is the volume that this backup was made from");
    assert_bytes(&site.source, &site.content);
}

#[test]
fn nothing_is_restored_into_the_repository() {
    let site = Site::new(MIB);
    let repo = site.repo.path();
    let link = site.scratch.path("link");
    std::os::unix::fs::symlink(repo, &link).expect("a link");
    for target in [
        repo.join("new"),
        link.join("new"),
        repo.join("vol/new"),
        repo.join("vol/earlier/map-0"),
        link.join("septet.json"),
    ] {
        for args in [&[][..], &["--overwrite"]] {
            assert_fails(&restore(&site, &target, args), 1, "is inside the repository");
        }
    }
    site.assert_as_before();
}

#[test]
fn a_device_that_is_too_small_or_read_only_is_refused() {
    let site = Site::new(2 * MIB);
    let scratch = Scratch::on_disk();
    for (bytes, options, why) in [
        (
            MIB,
            &[][..],
            "is too small: it has 1048576 bytes and the volume has 2097152; name a device of at least that size",
        ),
        (
            2 * MIB,
            &["--read-only"],
            "cannot open it: permission denied; run as a user with the right to do it, and check that it is not read-only",
        ),
    ] {
        let before = noise(9, bytes);
        let image = scratch.file("image", &before);
        let device = LoopDevice::attach(&image, 512, options);
        assert_fails(&restore(&site, device.path(), &[]), 1, "exists; add --overwrite to overwrite it");
        assert_fails(&restore(&site, device.path(), &["--overwrite"]), 1, why);
        assert_bytes(device.path(), &before);
    }
}

#[test]
fn a_mounted_device_is_refused() {
    let site = Site::new(8 * MIB);
    let scratch = Scratch::on_disk();
    let device = LoopDevice::attach(&scratch.hole("image", 8 << 20), 512, &[]);
    command("mkfs.ext4", [Path::new("-q"), device.path()]);
    let mount = Mount::new(device.path(), &scratch.path("mounted"));
    assert_fails(&restore(&site, device.path(), &["--overwrite"]), 1, "is in use: it is mounted at");
    mount.unmount();
    command("e2fsck", [Path::new("-fn"), device.path()]);
    restore(&site, device.path(), &["--overwrite"]).exits(0);
}

#[test]
fn a_target_without_room_or_that_is_read_only_leaves_no_file() {
    let site = Site::new(8 * MIB);
    let mount = Mount::tmpfs(4 << 20, &site.scratch.path("small"));
    let target = mount.path("target");
    assert_fails(
        &restore(&site, &target, &[]),
        1,
        "target: no space left on device; free some space or name another target",
    );
    assert_eq!(files(&mount.path("")), [""; 0]);
    command("mount", ["-o", "remount,ro", mount.path("").to_str().expect("UTF-8")]);
    assert_fails(&restore(&site, &target, &[]), 1, "target: cannot open it: read-only file system");
    mount.unmount();
    site.assert_as_before();
}

#[test]
fn a_restore_that_is_killed_leaves_no_half_file_and_the_next_one_says_what_it_removed() {
    let site = Site::new(32 * MIB);
    let directory = site.scratch.path("targets");
    std::fs::create_dir(&directory).expect("a directory");
    let target = directory.join("target");
    let mut run = site.repo.restore_command("vol/earlier", &target).spawn();
    let has_begun = |_: &mut septet_tests::Running| (!files(&directory).is_empty()).then_some(());
    run.wait_until(has_begun).expect("the restore begins");
    let agents = run.agents();
    run.signal(Signal::KILL);
    run.wait();
    assert_gone(&agents);
    assert_eq!(files(&directory), [".target.septet-partial"]);
    let outcome = restore(&site, &target, &[]).exits(0);
    assert!(notes(&outcome).contains("removed the partial file of an interrupted restore to"), "{outcome:?}");
    assert_eq!(files(&directory), ["target"]);
    site.assert_as_before();
}

#[test]
fn of_two_restores_to_one_new_file_one_wins() {
    let site = Site::new(8 * MIB);
    let target = site.scratch.path("target");
    let runs = [(); 2].map(|()| site.repo.restore_command("vol/earlier", &target).spawn());
    let mut outcomes = runs.map(septet_tests::Running::wait);
    outcomes.sort_by_key(|outcome| outcome.status);
    assert_eq!(outcomes.each_ref().map(|outcome| outcome.status), [Some(0), Some(1)], "{outcomes:?}");
    let why = septet_tests::fault::reason(&outcomes[1]);
    assert!(why.contains("another process is writing it") || why.contains("exists; add --overwrite"), "{why}");
    site.assert_as_before();
}

fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
