//! Incremental backups of RBD images: only the changes that Ceph reports are read, and a sample of the rest is
//! checked. If there is no usable base, the whole image is read and compared.

use septet_tests::content::{Rng, mixed, noise};
use septet_tests::{Backed, Ceph, Change, Image, Repo, Scratch};
use serde_json::Value;

const MIB: u64 = 1 << 20;
const KIB: u64 = 1 << 10;

struct Site<'a> {
    ceph: &'a Ceph,
    image: Image<'a>,
    repo: Repo,
    _scratch: Scratch,
}

impl<'a> Site<'a> {
    fn new(ceph: &'a Ceph, bytes: u64, args: &[&str]) -> Self {
        let scratch = Scratch::on_disk();
        Self { ceph, image: ceph.image(bytes, args), repo: scratch.repo(), _scratch: scratch }
    }

    /// Backs the image up as `id` of the volume `vol`. Returns the summary and the notes.
    fn backup(&self, id: &str, args: &[&str]) -> (Backed, String) {
        let block: &[&str] = if self.repo.path().join("vol").is_dir() { &[] } else { &["--block-size", "64KiB"] };
        let command = self.ceph.known_to(self.repo.backup_command(&self.image.url()));
        let outcome = command.args(["--volume", "vol", "--id", id]).args(block).args(args).ok();
        let events = outcome.events();
        let notes = events.iter().filter(|event| event["event"] == "note").map(|event| event["text"].to_string());
        (serde_json::from_value(outcome.summary()).unwrap(), notes.collect::<Vec<_>>().join("\n"))
    }

    /// Asserts that `id` restores to the image's current content.
    fn assert_restores(&self, id: &str) {
        self.repo.assert_restores(&format!("vol/{id}"), &self.image.content(None));
    }
}

/// The image's snapshots that Septet made.
fn own_snapshots(image: &Image<'_>) -> Vec<String> {
    image.snapshots().into_iter().filter(|name| name.starts_with("backup.septet.snap.")).collect()
}

#[test]
fn only_what_changed_is_read() {
    let ceph = Ceph::shared();
    let site = Site::new(&ceph, 64 * MIB, &[]);
    site.image.change(&[Change::Write(0, noise(1, 64 << 20))]);
    site.backup("full", &[]);
    site.image.change(&[Change::Write(10 * MIB + 5, noise(2, 4096)), Change::Discard(20 * MIB..24 * MIB)]);
    let (backed, notes) = site.backup("inc", &["--audit", "0"]);
    assert_eq!(notes, "");
    // 4096 bytes at an odd offset touch at most two blocks. A discarded object is never read.
    assert!(backed.bytes_read <= 128 * KIB, "{backed:?}");
    assert_eq!((backed.blocks.hole, backed.blocks.total()), (64, 1024), "{backed:?}");
    site.assert_restores("inc");
    let (backed, _) = site.backup("same", &["--audit", "0"]);
    assert_eq!((backed.bytes_read, backed.blocks.unchanged), (0, 1024), "{backed:?}");
    let (backed, _) = site.backup("audited", &[]);
    assert_eq!(backed.bytes_read, 11 * 64 * KIB, "one block in a hundred is read: {backed:?}");
    let (backed, _) = site.backup("all", &["--audit", "100"]);
    assert_eq!((backed.bytes_read, backed.blocks.unchanged, backed.blocks.zero), (64 * MIB, 960, 64), "{backed:?}");
    site.assert_restores("all");
}

#[test]
fn one_snapshot_stays_and_the_users_are_left_alone() {
    let ceph = Ceph::shared();
    let site = Site::new(&ceph, 8 * MIB, &[]);
    site.image.snapshot("septet");
    site.image.snapshot("users+own+vol+full");
    // Cinder's own Ceph backup driver names its snapshots like this.
    site.image.snapshot("backup.7f9c2d8e-0b1a-4c3d-9e5f-102030405060.snap.1763800000.5");
    for id in ["full", "a", "b"] {
        site.backup(id, &[]);
        let snapshots = own_snapshots(&site.image);
        assert!(snapshots.len() == 1 && snapshots[0].ends_with(&format!("+vol+{id}")), "{snapshots:?}");
    }
    // Another repository has its own snapshot.
    let scratch = Scratch::on_disk();
    ceph.known_to(scratch.repo().backup_command(&site.image.url())).args(["--volume", "vol", "--id", "b"]).ok();
    assert_eq!(own_snapshots(&site.image).len(), 2);
    assert_eq!(site.image.snapshots().len(), 5);
    let (backed, notes) = site.backup("c", &["--audit", "0"]);
    assert_eq!((backed.bytes_read, notes.as_str()), (0, ""));
}

#[test]
fn a_user_s_snapshots_are_a_base_too() {
    let ceph = Ceph::shared();
    let site = Site::new(&ceph, 16 * MIB, &[]);
    let backup = |snapshot: &str| -> Value {
        let mut url = site.image.url();
        url.as_mut_os_string().push(format!("@{snapshot}"));
        let command = ceph.known_to(site.repo.backup_command(&url)).args(["--volume", "vol", "--id", snapshot]);
        command.args(["--audit", "0"]).ok().summary()
    };
    site.image.change(&[Change::Write(0, noise(1, 16 << 20))]);
    site.image.snapshot("monday");
    backup("monday");
    site.image.change(&[Change::Write(3 * MIB, noise(2, 1 << 20))]);
    site.image.snapshot("tuesday");
    site.image.change(&[Change::Write(9 * MIB, noise(3, 1 << 20))]);
    let summary = backup("tuesday");
    assert_eq!(summary["bytes_read"], MIB, "{summary}");
    site.repo.assert_restores("vol/tuesday", &site.image.content(Some("tuesday")));
    assert_eq!(site.image.snapshots(), ["monday", "tuesday"]);
}

#[test]
fn without_a_base_all_is_read_and_the_reason_is_said() {
    let ceph = Ceph::shared();
    let site = Site::new(&ceph, 8 * MIB, &[]);
    site.image.change(&[Change::Write(0, noise(1, 8 << 20))]);
    site.backup("full", &[]);
    site.image.purge();
    let (backed, notes) = site.backup("gone", &[]);
    assert!(notes.contains("snapshot") && notes.contains("no longer exists"), "{notes}");
    assert_eq!((backed.bytes_read, backed.blocks.unchanged), (8 * MIB, 128));
    // Another image with the same name and a snapshot of the same name.
    let snapshot = own_snapshots(&site.image).remove(0);
    site.image.purge();
    site.image.rbd(&["rm"]);
    site.image.rbd(&["create", "--size", "8M"]);
    site.image.change(&[Change::Write(0, noise(2, 8 << 20))]);
    site.image.snapshot(&snapshot);
    let (backed, notes) = site.backup("anew", &[]);
    assert!(notes.contains("created again"), "{notes}");
    assert_eq!(backed.blocks.data, 128, "{backed:?}");
    site.assert_restores("anew");
    // The same image with another snapshot of the same name.
    let snapshot = own_snapshots(&site.image).remove(0);
    site.image.purge();
    site.image.change(&[Change::Write(0, noise(3, 1 << 20))]);
    site.image.snapshot(&snapshot);
    let (backed, notes) = site.backup("forged", &[]);
    assert!(notes.contains("no longer exists"), "{notes}");
    assert_eq!(backed.blocks.data, 16, "{backed:?}");
    site.assert_restores("forged");
    let (backed, notes) = site.backup("older", &["--parent", "full"]);
    assert!(notes.contains("created again") && backed.bytes_read == 8 * MIB, "{notes}");
}

#[test]
fn an_audit_that_fails_has_everything_read() {
    let ceph = Ceph::shared();
    let site = Site::new(&ceph, 8 * MIB, &[]);
    site.image.change(&[Change::Write(0, noise(1, 8 << 20))]);
    site.backup("full", &[]);
    // Changes the object without librbd and its snapshots, so that Ceph does not report the change.
    let info: Value = serde_json::from_str(&site.image.rbd(&["info", "--format", "json"])).unwrap();
    let scratch = Scratch::in_memory();
    let object = format!("{}.{:016x}", info["block_name_prefix"].as_str().unwrap(), 1);
    let file = scratch.file("object", &noise(2, 4 << 20));
    let conf = ceph.conf();
    let put = ["-c", conf.to_str().unwrap(), "-p", "rbd", "put", &object, file.to_str().unwrap()];
    septet_tests::command("rados", put);
    let (backed, notes) = site.backup("inc", &["--audit", "100"]);
    assert!(notes.contains("reported as unchanged") && notes.contains("the whole volume is read"), "{notes}");
    assert_eq!((backed.bytes_read, backed.blocks.data, backed.blocks.unchanged), (8 * MIB, 64, 64), "{backed:?}");
    site.assert_restores("inc");
    assert_eq!(own_snapshots(&site.image).len(), 1);
}

#[test]
fn the_snapshot_of_a_run_that_died_goes_with_the_next() {
    let ceph = Ceph::shared();
    let site = Site::new(&ceph, 32 * MIB, &[]);
    site.image.change(&[Change::Write(0, noise(1, 32 << 20))]);
    site.backup("full", &[]);
    // librbd's own rate limit makes the run last for seconds, so that it is killed before its end on a busy machine.
    let limit = "rbd_qos_read_bps_limit";
    ceph.rbd(&["config", "image", "set", site.image.name(), limit, "8388608"]);
    let command = ceph.known_to(site.repo.backup_command(&site.image.url()));
    let mut run = command.args(["--volume", "vol", "--id", "died", "--full"]).spawn();
    run.wait_until(|_| (own_snapshots(&site.image).len() == 2).then_some(())).expect("a second snapshot");
    run.signal(rustix::process::Signal::KILL);
    run.wait();
    ceph.rbd(&["config", "image", "rm", site.image.name(), limit]);
    assert_eq!(own_snapshots(&site.image).len(), 2);
    let (backed, notes) = site.backup("next", &["--audit", "0"]);
    assert!(notes.contains("interrupted backup vol/died"), "{notes}");
    assert_eq!(backed.bytes_read, 0, "the base is still there: {backed:?}");
    let snapshots = own_snapshots(&site.image);
    assert!(snapshots.len() == 1 && snapshots[0].ends_with("+next"), "{snapshots:?}");
}

#[test]
fn with_the_last_backup_its_snapshot_goes() {
    let ceph = Ceph::shared();
    let site = Site::new(&ceph, 8 * MIB, &[]);
    for id in ["a", "b"] {
        site.backup(id, &[]);
    }
    let delete = |id: &str| ceph.known_to(site.repo.septet(["delete", id])).ok();
    delete("vol/a");
    assert_eq!(own_snapshots(&site.image).len(), 1, "the newest backup is still there");
    delete("vol/b");
    assert!(site.image.snapshots().is_empty(), "{:?}", site.image.snapshots());
}

/// Changes that a guest makes to a disk between two backups.
fn random_changes(rng: &mut Rng, bytes: u64) -> Vec<Change> {
    let mut changes = Vec::new();
    for _ in 0..6 {
        let offset = rng.below(usize::try_from(bytes).unwrap() - 1) as u64;
        let offset = *rng.choose(&[offset, offset / 512 * 512, offset / 65536 * 65536, offset / (4 * MIB) * (4 * MIB)]);
        let length = *rng.choose(&[512, 4096, 70_000, MIB, 5 * MIB]);
        let length = length.min(bytes - offset);
        let size = usize::try_from(length).unwrap();
        changes.push(match rng.below(4) {
            0 | 1 => Change::Write(offset, mixed(rng.next_u64(), size, 10_000)),
            2 => Change::Write(offset, vec![0; size]),
            _ => Change::Discard(offset..offset + length),
        });
    }
    changes
}

/// Ten incrementals with writes, discards, zeros and resizes between them, each compared with `rbd export`.
fn ten_incrementals(seed: u64, args: &[&str]) {
    let ceph = Ceph::shared();
    let mut rng = Rng::new(seed);
    let mut bytes = 48 * MIB;
    let site = Site::new(&ceph, bytes, args);
    site.image.change(&random_changes(&mut rng, bytes));
    site.backup("b0", &[]);
    for number in 1..=10 {
        site.image.change(&random_changes(&mut rng, bytes));
        if rng.below(2) == 0 {
            bytes = (24 * MIB + rng.below(48 << 20) as u64) / 512 * 512;
            site.image.rbd(&["resize", "--allow-shrink", "--size", &format!("{bytes}B")]);
            if rng.below(2) == 0 {
                site.image.change(&random_changes(&mut rng, bytes));
            }
        }
        let id = format!("b{number}");
        // Every other backup has no audit, so that the blocks read for an audit do not hide an error.
        let (backed, notes) = site.backup(&id, &["--audit", if number % 2 == 0 { "0" } else { "10" }]);
        assert!(!notes.contains("the whole volume is read"), "seed {seed}, {id}: {notes}");
        assert_eq!(backed.bytes_volume, bytes);
        site.assert_restores(&id);
        assert_eq!(own_snapshots(&site.image).len(), 1);
    }
}

#[test]
fn ten_incrementals_of_a_usual_image() {
    ten_incrementals(1, &[]);
}

#[test]
fn ten_incrementals_of_small_objects_without_an_object_map() {
    ten_incrementals(3, &["--object-size", "256K", "--image-feature", "layering"]);
}

#[test]
fn ten_incrementals_of_a_striped_image() {
    ten_incrementals(4, &["--object-size", "1M", "--stripe-unit", "64K", "--stripe-count", "3"]);
}

#[test]
fn ten_incrementals_of_a_clone() {
    let ceph = Ceph::shared();
    let parent = ceph.image(48 * MIB, &[]);
    parent.change(&[Change::Write(0, noise(7, 40 << 20))]);
    parent.snapshot("golden");
    ceph.rbd(&["snap", "protect", &format!("{}@golden", parent.name())]);
    let clone = ceph.name();
    ceph.rbd(&["clone", &format!("{}@golden", parent.name()), clone.name()]);
    let scratch = Scratch::on_disk();
    let site = Site { ceph: &ceph, image: clone, repo: scratch.repo(), _scratch: scratch };
    site.backup("b0", &[]);
    let mut rng = Rng::new(5);
    for number in 1..=10 {
        site.image.change(&random_changes(&mut rng, 48 * MIB));
        if number == 6 {
            site.image.rbd(&["flatten"]);
        }
        let id = format!("b{number}");
        site.backup(&id, &["--audit", "0"]);
        site.assert_restores(&id);
    }
    drop(site);
    ceph.rbd(&["snap", "unprotect", &format!("{}@golden", parent.name())]);
}
