//! Faults of Ceph: no run hangs, one line reports the fault, and the next run succeeds.
//!
//! librbd's own rate limit makes a run last long enough to be interrupted.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use septet_tests::content::noise;
use septet_tests::{Ceph, Change, Image, Outcome, Repo, Running, Scratch, Septet, binary};

const MIB: u64 = 1 << 20;
const BYTES: u64 = 48 * MIB;
const LIMITS: [&str; 2] = ["rbd_qos_read_bps_limit", "rbd_qos_write_bps_limit"];

/// An image that was backed up once. To read or write it takes some seconds.
struct Site<'a> {
    ceph: &'a Ceph,
    image: Image<'a>,
    content: Vec<u8>,
    repo: Repo,
    _scratch: Scratch,
}

impl<'a> Site<'a> {
    fn new(ceph: &'a Ceph) -> Self {
        let scratch = Scratch::on_disk();
        let (image, content) = (ceph.image(BYTES, &[]), noise(1, 48 << 20));
        let site = Self { ceph, image, content, repo: scratch.repo(), _scratch: scratch };
        site.image.change(&[Change::Write(0, site.content.clone())]);
        site.backup("first").ok();
        slow(ceph, &site.image);
        site
    }

    fn backup(&self, id: &str) -> Septet {
        self.ceph.known_to(self.repo.backup_command(&self.image.url())).args(["--volume", "vol", "--full", "--id", id])
    }

    /// Starts a backup and returns when it reads.
    fn reading(&self, id: &str, args: &[&str]) -> Running {
        let mut run = self.backup(id).args(args).spawn();
        let end = format!("+{id}");
        run.wait_until(|_| self.image.snapshots().iter().any(|name| name.ends_with(&end)).then_some(()))
            .expect("a snapshot");
        run
    }

    /// Starts a restore to a new image and returns when it writes.
    fn writing(&self, target: &Image<'_>, args: &[&str]) -> Running {
        let command = self.ceph.known_to(self.repo.restore_command("first", &target.url()));
        let mut run = command.arg("--overwrite").args(args).spawn();
        run.wait_until(|_| self.ceph.rbd(&["status", target.name()]).contains("watcher=").then_some(()))
            .expect("a watcher");
        run
    }

    fn target(&self) -> Image<'a> {
        let target = self.ceph.image(BYTES, &[]);
        slow(self.ceph, &target);
        target
    }

    /// Asserts that Ceph works again: the next backup succeeds and leaves one snapshot of Septet's.
    fn settle(&self) {
        for limit in LIMITS {
            self.ceph.rbd(&["config", "image", "rm", self.image.name(), limit]);
        }
        self.backup("settled").ok();
        let own = self.image.snapshots();
        assert!(own.len() == 1 && own[0].ends_with("+settled"), "{own:?}");
        self.repo.assert_restores("vol/settled", &self.content);
    }
}

/// A stopped daemon. It continues when this is dropped, for later tests.
struct Stopped<'a> {
    ceph: &'a Ceph,
    daemon: &'static str,
}

impl<'a> Stopped<'a> {
    fn new(ceph: &'a Ceph, daemon: &'static str) -> Self {
        ceph.signal(daemon, Signal::STOP);
        Self { ceph, daemon }
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.ceph.signal(self.daemon, Signal::CONT);
    }
}

/// At most 12 MiB a second, in librbd.
fn slow(ceph: &Ceph, image: &Image<'_>) {
    for limit in LIMITS {
        ceph.rbd(&["config", "image", "set", image.name(), limit, "12582912"]);
    }
}

/// Ceph's own limit is half of ours, so a command of two requests may reach either limit first.
fn assert_not_answered(outcome: &Outcome) {
    let line = outcome.error_line();
    assert!(
        line.contains("has not answered in time") || line.contains("worked on one command for more than 3 s"),
        "{line}"
    );
}

#[test]
fn an_osd_that_stops_ends_a_backup_in_time() {
    let ceph = Ceph::alone();
    let site = Site::new(&ceph);
    let run = site.reading("stopped", &["--timeout", "3"]);
    let stopped = Stopped::new(&ceph, "osd.0");
    let outcome = run.wait().exits(1);
    drop(stopped);
    assert_not_answered(&outcome);
    site.settle();
}

#[test]
fn an_osd_that_stops_ends_a_restore_in_time() {
    let ceph = Ceph::alone();
    let site = Site::new(&ceph);
    let target = site.target();
    let run = site.writing(&target, &["--timeout", "3"]);
    let stopped = Stopped::new(&ceph, "osd.0");
    let outcome = run.wait().exits(1);
    drop(stopped);
    assert_not_answered(&outcome);
    // The cluster still lists the killed client for a while.
    while ceph.rbd(&["status", target.name()]).contains("watcher=") {
        std::thread::sleep(Duration::from_millis(200));
    }
    ceph.known_to(site.repo.restore_command("first", &target.url())).arg("--overwrite").ok();
    assert!(target.content(None) == site.content, "the second restore is not right");
}

#[test]
fn a_backup_and_a_restore_go_on_when_the_osd_comes_back_in_time() {
    let ceph = Ceph::alone();
    let site = Site::new(&ceph);
    let target = site.target();
    let runs = [site.reading("back", &["--timeout", "60"]), site.writing(&target, &["--timeout", "60"])];
    let stopped = Stopped::new(&ceph, "osd.0");
    std::thread::sleep(Duration::from_secs(2));
    drop(stopped);
    ceph.signal("osd.0", Signal::KILL);
    ceph.restart("osd.0");
    for run in runs {
        run.wait().exits(0);
    }
    site.repo.assert_restores("vol/back", &site.content);
    assert!(target.content(None) == site.content, "the restore is not right");
}

#[test]
fn monitors_that_do_not_answer_are_named() {
    let ceph = Ceph::alone();
    let site = Site::new(&ceph);
    let run = site.reading("under-way", &["--timeout", "20"]);
    let stopped = Stopped::new(&ceph, "mon.a");
    // Reading needs no monitor. The next backup removes the snapshots.
    run.wait().exits(0);
    site.backup("unanswered").args(["--timeout", "3"]).fails(1, "the monitors have not answered for 2 s");
    drop(stopped);
    ceph.signal("mon.a", Signal::KILL);
    ceph.restart("mon.a");
    site.repo.assert_restores("vol/under-way", &site.content);
    site.settle();
}

#[test]
fn a_full_cluster_is_named() {
    let ceph = Ceph::alone();
    let site = Site::new(&ceph);
    let target = site.target();
    // A nearly full cluster is not a failure.
    let fullness = Fullness(&ceph);
    fullness.set([("nearfull", "0.0000001"), ("backfillfull", "0.0000002"), ("full", "0.95")]);
    site.backup("nearfull").ok();
    fullness.set([("full", "0.0000003")]);
    // "OSD_FULL", as a cluster that is nearly full has "1 nearfull osd(s)".
    while !fullness.health_says("OSD_FULL") {
        std::thread::sleep(Duration::from_millis(200));
    }
    let restore = ceph.known_to(site.repo.restore_command("first", &target.url()));
    restore.args(["--overwrite", "--timeout", "8"]).fails(1, "full");
    site.backup("full").args(["--timeout", "8"]).fails(1, "full");
    drop(fullness);
    site.settle();
}

/// The share of used space from which the cluster counts as full. Dropping this restores it for later tests.
struct Fullness<'a>(&'a Ceph);

impl Fullness<'_> {
    fn set<const COUNT: usize>(&self, ratios: [(&str, &str); COUNT]) {
        for (which, ratio) in ratios {
            self.0.ceph(&["osd", &format!("set-{which}-ratio"), ratio]);
        }
    }

    fn health_says(&self, words: &str) -> bool {
        self.0.ceph(&["health", "detail"]).contains(words)
    }
}

impl Drop for Fullness<'_> {
    fn drop(&mut self) {
        self.set([("full", "0.95"), ("backfillfull", "0.9"), ("nearfull", "0.85")]);
        while self.health_says("full osd") {
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

#[test]
fn an_image_whose_snapshot_goes_meanwhile_is_no_backup() {
    let ceph = Ceph::shared();
    let site = Site::new(&ceph);
    let run = site.reading("purged", &[]);
    site.image.purge();
    let outcome = run.wait().exits(1);
    assert!(outcome.error_line().contains("was removed while it was read"), "{}", outcome.stderr);
    site.settle();
    slow(&ceph, &site.image);
    let run = site.reading("removed", &[]);
    site.image.purge();
    site.image.rbd(&["rm"]);
    let outcome = run.wait().exits(1);
    assert!(outcome.error_line().contains(site.image.name()), "{}", outcome.stderr);
    assert!(site.repo.septet(["show", "vol/removed"]).run().status == Some(1), "it is not to be there");
}

#[test]
fn a_locked_image_is_left_alone() {
    let ceph = Ceph::shared();
    let site = Site::new(&ceph);
    ceph.rbd(&["lock", "add", site.image.name(), "mine"]);
    let restore = ceph.known_to(site.repo.restore_command("first", &site.image.url()));
    restore.args(["--overwrite", "--timeout", "20"]).fails(1, "holds the lock");
    // A new snapshot changes the image too. The user's snapshots can be backed up.
    site.backup("locked").args(["--timeout", "20"]).fails(1, "another client holds its lock");
    let locker = ceph.rbd(&["lock", "ls", site.image.name(), "--format", "json"]);
    let locker: serde_json::Value = serde_json::from_str(&locker).unwrap();
    ceph.rbd(&["lock", "rm", site.image.name(), "mine", locker[0]["locker"].as_str().unwrap()]);
    site.settle();
}

#[test]
fn a_client_that_is_shut_out_says_so() {
    let ceph = Ceph::alone();
    let site = Site::new(&ceph);
    let target = site.target();
    let mut run = site.writing(&target, &["--timeout", "30"]);
    // It is stopped until Ceph refuses it. Otherwise the restore might end before that on a loaded machine.
    let writer = run.agent("volumewriter").expect("the volumewriter");
    writer.signal(Signal::STOP);
    let status: serde_json::Value =
        serde_json::from_str(&ceph.rbd(&["status", target.name(), "--format", "json"])).unwrap();
    let address = status["watchers"][0]["address"].as_str().unwrap();
    ceph.ceph(&["osd", "blocklist", "add", address]);
    writer.signal(Signal::CONT);
    let outcome = run.wait().exits(1);
    ceph.ceph(&["osd", "blocklist", "clear"]);
    assert!(outcome.error_line().contains("blocklist"), "{}", outcome.stderr);
}

#[test]
fn a_new_image_that_is_not_finished_has_not_its_name() {
    let ceph = Ceph::shared();
    let site = Site::new(&ceph);
    let new = ceph.name();
    let restore = || ceph.known_to(site.repo.restore_command("first", &new.url())).arg("--create");
    let images = || ceph.rbd(&["ls"]);
    let partial = format!("{}.septet-partial", new.name().strip_prefix("rbd/").unwrap());
    let mut run = restore().spawn();
    let writer = run.agent("volumewriter").expect("the volumewriter");
    run.wait_until(|_| images().contains(&partial).then_some(())).expect("an unfinished image");
    run.signal(Signal::KILL);
    run.wait();
    assert!(!septet_tests::is_alive(writer.pid) || !images().lines().any(|name| format!("rbd/{name}") == new.name()));
    while restore().run().status != Some(0) {
        // Wait until the cluster has forgotten the killed client.
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(!images().contains(&partial), "{}", images());
    assert!(new.content(None) == site.content, "the restored image differs");
}

#[test]
fn without_septet_rbd_or_its_libraries_one_line_says_what_to_install() {
    let scratch = Scratch::on_disk();
    fs::copy(binary(), scratch.path("copied")).unwrap();
    let backup = |path: &str| {
        let mut septet = Command::new(scratch.path("copied"));
        let repo = scratch.path("repo");
        let output = septet.args(["backup", "rbd:rbd/image", "--repo"]).arg(repo).env("PATH", path).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = backup("/nowhere");
    assert!(said.contains("rbd:… needs septet-rbd") && said.contains("apt-get install librbd1"), "{said}");
    // The dynamic linker's message and exit status.
    let words = "septet-reader: error while loading shared libraries: librbd.so.1: cannot open shared object file";
    let linker = scratch.file("septet-rbd", format!("#!/bin/sh\necho '{words}' >&2\nexit 127\n").as_bytes());
    fs::set_permissions(&linker, fs::Permissions::from_mode(0o755)).unwrap();
    let said = backup("/usr/bin:/bin");
    assert!(said.contains("septet-rbd needs librbd.so.1") && said.contains("apt-get install librbd1"), "{said}");
}
