//! RBD images in a real Ceph: every restore is bit for bit what was backed up, compared with `rbd export`.

use std::path::Path;

use septet_tests::content::{mixed, noise};
use septet_tests::{Ceph, Change, Image, Scratch};

const MIB: u64 = 1 << 20;

/// Backs up an image (or a snapshot of it), restores it to a file and to a new image, and compares both.
fn round_trip(ceph: &Ceph, image: &Image<'_>, snapshot: Option<&str>) {
    let scratch = Scratch::on_disk();
    let repo = scratch.repo();
    let mut source = image.url();
    if let Some(snapshot) = snapshot {
        source.as_mut_os_string().push(format!("@{snapshot}"));
    }
    let expected = image.content(snapshot);
    let backed =
        ceph.known_to(repo.backup_command(&source)).args(["--id", "b", "--block-size", "256KiB"]).ok().summary();
    assert_eq!(backed["bytes_volume"], expected.len() as u64);
    repo.assert_restores("b", &expected);
    let copy = ceph.name();
    ceph.known_to(repo.restore_command("b", &copy.url())).arg("--create").ok();
    assert!(copy.content(None) == expected, "the restored image differs");
    let shape = |image: &Image<'_>| {
        let info: serde_json::Value = serde_json::from_str(&image.rbd(&["info", "--format", "json"])).unwrap();
        ["size", "order", "features", "stripe_unit", "stripe_count", "data_pool"].map(|key| info[key].clone())
    };
    assert_eq!(shape(&copy), shape(image), "the new image is not like the old one");
    let info: serde_json::Value = serde_json::from_str(&copy.rbd(&["info", "--format", "json"])).unwrap();
    if info["stripe_count"].is_null() {
        let object = usize::try_from(info["object_size"].as_u64().unwrap()).unwrap().max(256 << 10);
        let used = expected.chunks(object).filter(|object| object.iter().any(|byte| *byte != 0)).count() * object;
        let allocated = copy.allocated_bytes();
        assert!(allocated <= used as u64, "{allocated} bytes are allocated and {used} have data: sparse stays sparse");
    }
}

fn scattered(bytes: u64, seed: u64) -> Vec<Change> {
    let at = |part: u64| bytes / 7 * part / 512 * 512;
    vec![
        Change::Write(0, noise(seed, 5000)),
        Change::Write(at(2), mixed(seed + 1, 3 << 20, 100_000)),
        Change::Write(at(4) + 77, noise(seed + 2, 70_000)),
        Change::Write(bytes - 1000, noise(seed + 3, 1000)),
    ]
}

#[test]
fn images_of_every_shape() {
    let ceph = Ceph::shared();
    ceph.ceph(&["osd", "pool", "create", "data", "8", "8"]);
    let odd = 64 * MIB + 12_345;
    for (bytes, args) in [
        (64 * MIB, &[][..]),
        (odd, &[][..]),
        (odd, &["--object-size", "64K"][..]),
        (64 * MIB, &["--object-size", "32M"][..]),
        (64 * MIB, &["--stripe-unit", "64K", "--stripe-count", "4"][..]),
        (odd, &["--object-size", "1M", "--stripe-unit", "16K", "--stripe-count", "5"][..]),
        (64 * MIB, &["--data-pool", "data"][..]),
        (64 * MIB, &["--image-feature", "layering"][..]),
        (64 * MIB, &["--image-feature", "layering,exclusive-lock,journaling"][..]),
    ] {
        let image = ceph.image(bytes, args);
        image.change(&scattered(bytes, bytes));
        round_trip(&ceph, &image, None);
        assert_eq!(image.snapshots().len(), 1, "{args:?}: one snapshot stays, as a base for the next backup");
    }
}

#[test]
fn images_without_data_or_without_size() {
    let ceph = Ceph::shared();
    for bytes in [0, 512, 8 * MIB] {
        round_trip(&ceph, &ceph.image(bytes, &[]), None);
    }
}

#[test]
fn a_snapshot_of_the_users_is_read_as_it_is_and_stays() {
    let ceph = Ceph::shared();
    let image = ceph.image(32 * MIB, &[]);
    image.change(&scattered(32 * MIB, 1));
    image.snapshot("monday");
    image.change(&[Change::Write(MIB, noise(9, 2 << 20)), Change::Discard(8 * MIB..20 * MIB)]);
    round_trip(&ceph, &image, Some("monday"));
    assert_eq!(image.snapshots(), ["monday"]);
}

#[test]
fn a_clone_has_what_its_parent_has() {
    let ceph = Ceph::shared();
    let parent = ceph.image(40 * MIB, &[]);
    parent.change(&[Change::Write(0, mixed(3, 24 << 20, 1 << 20))]);
    parent.snapshot("golden");
    ceph.rbd(&["snap", "protect", &format!("{}@golden", parent.name())]);
    let clone = ceph.name();
    ceph.rbd(&["clone", &format!("{}@golden", parent.name()), clone.name()]);
    clone.change(&[
        Change::Write(5 * MIB + 3, noise(4, 10_000)),
        Change::Discard(8 * MIB..16 * MIB),
        Change::Write(9 * MIB, noise(5, 10_000)),
    ]);
    round_trip(&ceph, &clone, None);
    drop(clone);
    ceph.rbd(&["snap", "unprotect", &format!("{}@golden", parent.name())]);
}

#[test]
fn an_encrypted_image_is_backed_up_as_the_raw_bytes_that_it_is() {
    let ceph = Ceph::shared();
    let scratch = Scratch::in_memory();
    let image = ceph.image(40 * MIB, &[]);
    let passphrase = scratch.file("passphrase", b"secret");
    ceph.rbd(&["encryption", "format", image.name(), "luks2", &passphrase.to_string_lossy()]);
    assert!(image.content(None).starts_with(b"LUKS"), "it should be encrypted");
    round_trip(&ceph, &image, None);
}

#[test]
fn a_real_file_system_and_what_rbd_bench_writes() {
    let ceph = Ceph::shared();
    let scratch = Scratch::on_disk();
    let file = scratch.hole("ext4.img", 192 * MIB);
    let files = septet_tests::debian::root().join("usr/share");
    septet_tests::command("mkfs.ext4", ["-q", "-d", files.to_str().unwrap(), file.to_str().unwrap()]);
    let image = ceph.name();
    ceph.rbd(&["import", &file.to_string_lossy(), image.name()]);
    image.rbd(&["bench", "--io-type", "write", "--io-size", "4K", "--io-total", "4M", "--io-pattern", "rand"]);
    round_trip(&ceph, &image, None);
}

#[test]
fn over_an_existing_image_zeros_are_discarded() {
    let ceph = Ceph::shared();
    let scratch = Scratch::on_disk();
    let repo = scratch.repo();
    let (source, target) = (ceph.image(32 * MIB, &[]), ceph.image(40 * MIB, &[]));
    source.change(&scattered(32 * MIB, 5));
    target.change(&[Change::Write(0, noise(6, 40 << 20))]);
    ceph.known_to(repo.backup_command(&source.url())).args(["--id", "b"]).ok();
    let before = target.content(None);
    ceph.known_to(repo.restore_command("b", &target.url())).fails(1, "--overwrite");
    assert!(target.content(None) == before, "it was not to be written");
    ceph.known_to(repo.restore_command("b", &target.url())).arg("--overwrite").ok();
    let restored = target.content(None);
    assert!(restored[..32 << 20] == source.content(None), "the image differs");
    assert!(restored[32 << 20..] == before[32 << 20..], "what lies beyond the volume stays");
    let allocated = target.allocated_bytes();
    assert!(allocated < 24 * MIB, "{allocated} bytes are allocated: zeros should be discarded");
}

#[test]
fn files_become_images_and_images_files() {
    let ceph = Ceph::shared();
    let scratch = Scratch::on_disk();
    let content = mixed(8, (9 << 20) + 4096, 300_000);
    let file = scratch.file("disk", &content);
    let repo = scratch.repo();
    repo.backup(&file, &["--id", "file", "--volume", "vol"]);
    let image = ceph.name();
    ceph.known_to(repo.restore_command("file", &image.url())).arg("--create").ok();
    assert!(image.content(None) == content, "the image differs");
    // The same volume with another source: it is read and compared.
    let backed = ceph.known_to(repo.backup_command(&image.url())).args(["--id", "image", "--volume", "vol"]).ok();
    assert!(backed.stdout.contains("was not made from an RBD image"), "{}", backed.stdout);
    assert_eq!(backed.summary()["blocks"]["data"], 0, "{}", backed.stdout);
    repo.assert_restores("image", &content);
}

#[test]
fn what_can_t_be_is_said_in_one_line() {
    let ceph = Ceph::shared();
    let scratch = Scratch::in_memory();
    let repo = scratch.repo();
    let image = ceph.image(MIB, &[]);
    let backup = |source: &str| ceph.known_to(repo.backup_command(Path::new(source)));
    backup("rbd:rbd").fails(2, "does not name a pool and an image");
    backup("rbd:rbd/nowhere").fails(1, "rbd:rbd/nowhere: this image does not exist");
    backup("rbd:nowhere/image").fails(1, "there is no pool nowhere");
    let url = image.url();
    let url = url.to_str().unwrap();
    backup(&format!("{url}@nowhere")).fails(1, "this snapshot does not exist");
    backup(url).args(["--ceph-user", "nobody"]).fails(1, "rejects client.nobody");
    backup(&format!("{url}?keyring=/nowhere")).fails(1, "check --ceph-user and");
    backup(url).args(["--ceph-conf", "/nowhere"]).fails(1, "the Ceph configuration /nowhere can't be read");
    backup("/dev/null").args(["--ceph-user", "me"]).fails(2, "are for rbd:POOL/IMAGE");
    repo.backup(&scratch.file("file", &[1; 2 << 20]), &["--id", "b"]);
    let restore = |target: &str| ceph.known_to(repo.restore_command("b", Path::new(target)));
    restore(url).arg("--overwrite").fails(1, "is too small");
    restore(url).arg("--create").fails(1, "exists: leave --create out");
    restore("rbd:rbd/nowhere").fails(1, "add --create to create it");
    restore("rbd:rbd/nowhere@snap").fails(1, "is a snapshot, which is read-only");
    restore("/nowhere").arg("--create").fails(2, "--create is for rbd:POOL/IMAGE");
}

#[test]
fn user_and_keyring_are_taken_from_the_name_the_options_and_ceph_args() {
    let ceph = Ceph::shared();
    let scratch = Scratch::in_memory();
    let image = ceph.image(MIB, &[]);
    let keyring = scratch.path("keyring");
    let caps = ["mon", "profile rbd", "osd", "profile rbd pool=rbd"];
    let key = ceph.ceph(&[&["auth", "get-or-create", "client.backup"], &caps[..]].concat());
    std::fs::write(&keyring, key).unwrap();
    let (conf, keyring, url) = (ceph.conf(), keyring.to_str().unwrap(), image.url());
    let url = url.to_str().unwrap();
    let repo = scratch.repo();
    let backup = |source: String| repo.backup_command(Path::new(&source));
    backup(format!("{url}?user=backup&keyring={keyring}&conf={}", conf.display())).ok();
    backup(format!("{url}?keyring={keyring}")).args(["--ceph-user", "backup", "--ceph-conf"]).arg(&conf).ok();
    backup(url.to_owned()).env("CEPH_ARGS", format!("--id backup --keyring {keyring} --conf {}", conf.display())).ok();
    backup(url.to_owned()).env("CEPH_ARGS", "--id nobody").env("CEPH_CONF", &conf).fails(1, "client.nobody");
}

#[test]
fn an_image_that_somebody_has_open_is_not_written() {
    let ceph = Ceph::shared();
    let scratch = Scratch::in_memory();
    let repo = scratch.repo();
    let image = ceph.image(8 * MIB, &[]);
    repo.backup(&scratch.file("file", &noise(1, 1 << 20)), &["--id", "b"]);
    // This process writes until it is killed.
    let user = std::process::Command::new("rbd")
        .arg("--conf")
        .arg(ceph.conf())
        .args(["bench", "--io-type", "write", "--io-size", "4K", "--io-total", "1T", image.name()])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut user = Killed(user);
    while !ceph.rbd(&["status", image.name()]).contains("watcher=") {
        assert!(user.0.try_wait().unwrap().is_none(), "rbd bench ended");
    }
    ceph.known_to(repo.restore_command("b", &image.url())).arg("--overwrite").fails(1, "is in use");
    // Reading it is allowed, through a snapshot.
    ceph.known_to(repo.backup_command(&image.url())).args(["--id", "live"]).ok();
}

/// A process that is killed when this is dropped, even if the test fails.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
