//! A real ext4 file system with a Debian root on block devices: backed up, used, backed up again, and restored. Each
//! restore is bit for bit what the device held, and e2fsck finds no error.

use std::fs;
use std::path::Path;

use septet_tests::content::{noise, text};
use septet_tests::{LoopDevice, Mount, Repo, Scratch, assert_same, command, debian};

/// Writes, changes, truncates, renames and deletes files, as users do.
fn use_it(mount: &Mount) {
    let path = |name: &str| mount.path(name);
    fs::create_dir_all(path("home/user")).unwrap();
    for number in 0..40 {
        fs::write(path(&format!("home/user/text-{number}")), text(number, 30_000)).unwrap();
    }
    fs::write(path("home/user/noise"), noise(1, 12 << 20)).unwrap();
    let mut passwd = fs::read(path("etc/passwd")).unwrap();
    passwd.extend(b"user:x:1000:1000::/home/user:/bin/sh\n");
    fs::write(path("etc/passwd"), passwd).unwrap();
    fs::rename(path("etc/hostname"), path("etc/hostname.old")).unwrap();
    let programs: Vec<_> = fs::read_dir(path("usr/bin")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut files: Vec<_> = programs.into_iter().filter(|path| path.symlink_metadata().unwrap().is_file()).collect();
    files.sort();
    for file in files.iter().step_by(5) {
        fs::remove_file(file).unwrap();
    }
    fs::File::options().write(true).open(&files[1]).unwrap().set_len(100).unwrap();
}

fn assert_clean(file_system: &Path) {
    command("e2fsck", [Path::new("-f"), Path::new("-n"), file_system]);
}

/// Restores to a new file, which stays sparse, and to a device that held other data.
fn restore_both_ways(scratch: &Scratch, repo: &Repo, backup: &str, expected: &Path, sector_bytes: u32) {
    let file = scratch.path("restored");
    repo.restore(backup, &file, &[]);
    assert_same(&file, expected);
    assert_clean(&file);
    fs::remove_file(&file).unwrap();
    let other = scratch.file("other", &noise(2, 64 << 20));
    fs::File::options().write(true).open(&other).unwrap().set_len(debian::IMAGE_BYTES).unwrap();
    let device = LoopDevice::attach(&other, sector_bytes, &["--direct-io=on"]);
    repo.restore(backup, device.path(), &["--overwrite"]);
    assert_same(device.path(), expected);
    assert_clean(device.path());
}

fn life_of_a_debian(sector_bytes: u32) {
    let scratch = Scratch::on_disk();
    let repo = scratch.repo();
    let (image, before) = (scratch.path("debian"), scratch.path("before"));
    debian::image(&image);
    debian::image(&before);
    let device = LoopDevice::attach(&image, sector_bytes, &["--direct-io=on"]);
    let full = repo.backup(device.path(), &["--volume", "debian", "--id", "full"]);
    assert_eq!((full.bytes_volume, full.parent), (debian::IMAGE_BYTES, None));
    assert!(
        full.blocks.data > 100 && full.bytes_stored < full.blocks.data << 20,
        "{:?}, {} stored",
        full.blocks,
        full.bytes_stored
    );
    let mount = Mount::new(device.path(), &scratch.path("mount"));
    use_it(&mount);
    mount.unmount();
    let since = repo.backup(device.path(), &["--volume", "debian", "--id", "incremental"]);
    assert_eq!(since.parent.as_deref(), Some("full"));
    assert!(since.blocks.unchanged > since.blocks.data && since.blocks.data > 12, "{:?}", since.blocks);
    restore_both_ways(&scratch, &repo, "full", &before, sector_bytes);
    restore_both_ways(&scratch, &repo, "incremental", device.path(), sector_bytes);
    repo.septet(["verify"]).ok();
}

#[test]
fn on_a_device_of_512_byte_sectors() {
    life_of_a_debian(512);
}

#[test]
fn on_a_device_of_4096_byte_sectors() {
    life_of_a_debian(4096);
}

#[test]
fn as_a_file() {
    let scratch = Scratch::on_disk();
    let repo = scratch.repo();
    let image = scratch.path("debian");
    debian::image(&image);
    let full = repo.backup(&image, &["--id", "full", "--block-size", "256KiB"]);
    assert!(full.blocks.hole > 0, "an image that mkfs made has holes: {:?}", full.blocks);
    repo.restore("full", &scratch.path("restored"), &[]);
    assert_same(&scratch.path("restored"), &image);
    assert_clean(&scratch.path("restored"));
}
