//! A killed backup of an RBD image is resumed with the blocks that it had read, because the snapshot is unchanged.

use std::fs;

use rustix::process::Signal;
use septet_tests::content::noise;
use septet_tests::fault::notes;
use septet_tests::{Ceph, Change, Image, Repo, Scratch, Septet};
use serde_json::Value;

const MIB: u64 = 1 << 20;
const BYTES: u64 = 48 * MIB;
/// The number of segments that must exist before a run is killed.
const SEGMENTS: usize = 6;
/// librbd's own rate limit. It makes a run last long enough to be interrupted.
const LIMIT: &str = "rbd_qos_read_bps_limit";

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
        image.change(&[Change::Write(0, content.clone())]);
        Self { ceph, image, content, repo: scratch.repo(), _scratch: scratch }
    }

    /// A backup of the image, or of its snapshot `at`.
    fn backup(&self, at: &str) -> Septet {
        let mut url = self.image.url();
        url.as_mut_os_string().push(at);
        let args = ["--volume", "vol", "--id", "one", "--block-size", "64KiB", "--segment-size", "1MiB"];
        self.ceph.known_to(self.repo.backup_command(&url)).args(args)
    }

    /// The stored bytes of segments, and the number of segments.
    fn stored(&self) -> (u64, usize) {
        let objects = if self.repo.path().is_dir() { self.repo.objects() } else { Vec::new() };
        let segments: Vec<_> =
            objects.into_iter().filter(|key| key.contains("/segments/") && !key.contains("/.")).collect();
        let bytes = segments.iter().map(|key| fs::metadata(self.repo.path().join(key)).expect("a segment").len());
        (bytes.sum(), segments.len())
    }

    /// Kills a running backup. Returns the bytes that it had stored.
    fn kill(&self, at: &str) -> u64 {
        self.ceph.rbd(&["config", "image", "set", self.image.name(), LIMIT, "12582912"]);
        let mut run = self.backup(at).spawn();
        run.wait_until(|_| Some(()).filter(|()| self.stored().1 >= SEGMENTS)).expect("segments");
        run.signal(Signal::KILL);
        assert_eq!(run.wait().signal, Some(9));
        self.ceph.rbd(&["config", "image", "rm", self.image.name(), LIMIT]);
        self.stored().0
    }

    /// Starts the backup again.
    fn resume(&self, at: &str) -> Value {
        let outcome = self.backup(at).ok();
        assert!(notes(&outcome).contains("resuming the interrupted backup vol/one"), "{outcome:?}");
        outcome.summary()
    }
}

/// Stored blocks are taken over, and only the rest is read. `stored` includes the segments' indexes, at most 1/50.
fn assert_rest(summary: &Value, stored: u64) {
    assert!(stored >= SEGMENTS as u64 * MIB / 2, "{stored} bytes were stored");
    assert_eq!(summary["bytes_taken_over"], stored);
    let read = summary["bytes_read"].as_u64().expect("a number");
    assert!(read <= BYTES - (stored - stored / 50), "{read} bytes were read, and {stored} were stored");
}

#[test]
fn of_the_snapshot_that_it_made_nothing_is_read_again() {
    let ceph = Ceph::shared();
    let site = Site::new(&ceph);
    let stored = site.kill("");
    site.image.change(&[Change::Write(0, noise(2, 48 << 20))]);
    assert_rest(&site.resume(""), stored);
    site.repo.assert_restores("vol/one", &site.content);
    assert_eq!(site.image.snapshots().len(), 1);
}

#[test]
fn of_a_user_s_snapshot_nothing_is_read_again() {
    let ceph = Ceph::shared();
    let site = Site::new(&ceph);
    site.image.snapshot("monday");
    let stored = site.kill("@monday");
    site.image.change(&[Change::Write(0, noise(2, 48 << 20))]);
    assert_rest(&site.resume("@monday"), stored);
    site.repo.assert_restores("vol/one", &site.content);
}

#[test]
fn another_snapshot_of_the_same_name_is_read() {
    let ceph = Ceph::shared();
    let site = Site::new(&ceph);
    site.image.snapshot("monday");
    site.kill("@monday");
    site.image.purge();
    let later = noise(2, 48 << 20);
    site.image.change(&[Change::Write(0, later.clone())]);
    site.image.snapshot("monday");
    assert_eq!(site.resume("@monday")["bytes_read"], BYTES);
    site.repo.assert_restores("vol/one", &later);
}
