//! A backup that is killed and started again is resumed. Stored blocks are not stored again; those of a snapshot are
//! not even read. The result is the same as that of an uninterrupted backup.

use std::fs;

use rustix::process::Signal;
use septet_tests::content::noise;
use septet_tests::fault::notes;
use septet_tests::fault_job::send;
use septet_tests::{Outcome, Repo, Running, Scratch, Septet, assert_gone};
use serde_json::Value;

const MIB: usize = 1 << 20;
const BLOCK: u64 = 64 << 10;
/// The number of segments that must exist before a run is killed.
const SEGMENTS: usize = 6;
/// How often a run may end before it is killed.
const TRIES: usize = 20;

struct Site {
    scratch: Scratch,
    repo: Repo,
    content: Vec<u8>,
}

impl Site {
    fn new() -> Self {
        let scratch = Scratch::in_memory();
        let (repo, content) = (scratch.repo(), noise(1, 48 * MIB));
        scratch.file("volume", &content);
        Self { scratch, repo, content }
    }

    fn backup(&self, args: &[&str]) -> Septet {
        let common = ["--volume", "vol", "--block-size", "64KiB", "--segment-size", "1MiB", "--full"];
        self.repo.backup_command(&self.scratch.path("volume")).args(common).args(args)
    }

    fn segments(&self) -> Vec<String> {
        let objects = if self.repo.path().is_dir() { self.repo.objects() } else { Vec::new() };
        objects.into_iter().filter(|key| is_segment(key)).collect()
    }

    /// Whether a run completed: it writes the manifest last, and the signal may arrive after that.
    fn is_whole(&self) -> bool {
        self.repo.objects().iter().any(|key| key.contains("/manifest-"))
    }

    /// Starts backups until `hit` interrupts one. Returns its outcome and what it had stored.
    fn interrupt(&self, args: &[&str], hit: impl Fn(&mut Running)) -> (Outcome, Vec<String>) {
        for _ in 0..TRIES {
            let mut run = self.backup(args).spawn();
            let begun = run.wait_until(|_| Some(()).filter(|()| self.segments().len() >= SEGMENTS));
            let agents = run.agents();
            if begun.is_some() {
                hit(&mut run);
            }
            let outcome = run.wait();
            assert_gone(&agents);
            let segments = self.segments();
            if outcome.status != Some(0) && !segments.is_empty() && !self.is_whole() {
                return (outcome, segments);
            }
            fs::remove_dir_all(self.repo.path()).expect("a repository");
        }
        panic!("no run was met in the middle");
    }

    fn kill(&self, args: &[&str]) -> Vec<String> {
        let (outcome, segments) = self.interrupt(args, |run| run.signal(Signal::KILL));
        assert_eq!(outcome.signal, Some(9));
        segments
    }

    fn bytes(&self, keys: &[String]) -> u64 {
        keys.iter().map(|key| fs::metadata(self.repo.path().join(key)).expect("a segment").len()).sum()
    }

    /// Starts the backup again, and asserts that it is complete and that nothing was stored twice.
    fn resume(&self, args: &[&str], before: &[String]) -> Value {
        let taken_over = self.bytes(before);
        let outcome = self.backup(args).ok();
        assert!(notes(&outcome).contains("resuming the interrupted backup vol/"), "{outcome:?}");
        let summary = outcome.summary();
        assert_eq!(summary["bytes_taken_over"], taken_over);
        assert!(before.iter().all(|key| key.starts_with(&format!("vol/{}/", summary["backup"].as_str().unwrap()))));
        assert_eq!(summary["blocks"]["data"].as_u64(), Some(self.content.len() as u64 / BLOCK));
        // All segments together hold each block once, plus their indexes.
        let stored = self.bytes(&self.segments());
        let (most, least) = (self.content.len() as u64 * 102 / 100, self.content.len() as u64);
        assert!((least..most).contains(&stored), "{stored} bytes are stored of {least}");
        self.check(&summary);
        summary
    }

    fn check(&self, summary: &Value) {
        let backup = format!("vol/{}", summary["backup"].as_str().expect("an id"));
        self.repo.assert_restores(&backup, &self.content);
        self.repo.septet(["verify"]).ok();
        let ends = ["manifest", "checksums", "map", "septet.json"];
        let others: Vec<_> = self.repo.objects().into_iter().filter(|key| !is_segment(key)).collect();
        assert_eq!(others.len(), ends.len(), "{others:?}");
    }
}

/// Whether it is a complete segment of any attempt.
fn is_segment(key: &str) -> bool {
    key.split_once("/segments/").is_some_and(|(_, name)| name.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Sends an agent a signal, if it still runs.
fn signal_agent(run: &Running, name: &str, signal: Signal) {
    if let Some(agent) = run.agents().into_iter().find(|agent| agent.name == name) {
        send(agent.pid, signal);
    }
}

#[test]
fn what_is_stored_is_not_stored_again() {
    let site = Site::new();
    let before = site.kill(&[]);
    let summary = site.resume(&[], &before);
    assert_eq!(summary["bytes_read"].as_u64(), Some(site.content.len() as u64), "it may have changed");
}

#[test]
fn of_a_snapshot_it_is_not_read_again() {
    let site = Site::new();
    let args = ["--id", "one", "--snapshot"];
    let before = site.kill(&args);
    let taken_over = site.bytes(&before);
    let summary = site.resume(&args, &before);
    let read = summary["bytes_read"].as_u64().expect("a number");
    let known = taken_over - taken_over / 50;
    assert!(read <= site.content.len() as u64 - known, "{read} bytes were read, and {taken_over} were stored");
}

#[test]
fn a_snapshot_that_is_another_is_read() {
    let mut site = Site::new();
    site.kill(&["--snapshot"]);
    site.content[..24 * MIB].copy_from_slice(&noise(2, 24 * MIB));
    site.scratch.file("volume", &site.content);
    let summary = site.backup(&["--snapshot"]).ok().summary();
    assert_eq!(summary["bytes_read"].as_u64(), Some(site.content.len() as u64));
    site.check(&summary);
}

#[test]
fn a_run_that_fails_leaves_what_it_stored_and_is_gone_on_with() {
    let site = Site::new();
    let (outcome, before) = site.interrupt(&[], |run| signal_agent(run, "septet-reader", Signal::KILL));
    assert!(notes(&outcome).contains("the same command resumes the backup"), "{outcome:?}");
    site.resume(&[], &before);
}

#[test]
fn an_interruption_says_that_it_can_be_gone_on_with_and_clean_removes_it() {
    let site = Site::new();
    let terminate = |run: &mut Running| {
        // The supervisor checks ten times a second, and a run may have ended by then. This run cannot end.
        signal_agent(run, "septet-metawriter", Signal::STOP);
        run.signal(Signal::TERM);
    };
    let (outcome, _) = site.interrupt(&["--id", "one"], terminate);
    assert_eq!(outcome.status, Some(130));
    assert!(outcome.stderr.contains("interrupted; the same command resumes it"), "{outcome:?}");
    site.repo.septet(["clean"]).ok();
    assert_eq!(site.repo.objects(), ["septet.json"]);
}

/// A different backup takes over nothing from the interrupted one.
#[test]
fn under_another_id_it_begins_anew() {
    let site = Site::new();
    site.kill(&["--id", "one"]);
    let outcome = site.backup(&["--id", "two"]).ok();
    assert!(notes(&outcome).contains("removed the leftovers of the interrupted backup vol/one"), "{outcome:?}");
    assert_eq!(outcome.summary()["bytes_taken_over"], 0);
    site.check(&outcome.summary());
}

/// The backup is killed repeatedly. Each run resumes where the last one stopped.
#[test]
fn again_and_again() {
    let site = Site::new();
    let mut before = site.kill(&["--id", "one"]);
    for _ in 0..3 {
        let mut run = site.backup(&["--id", "one"]).spawn();
        let more = before.len() + 3;
        run.wait_until(|_| Some(()).filter(|()| site.segments().len() >= more));
        run.signal(Signal::KILL);
        if run.wait().status == Some(0) {
            return site.repo.assert_restores("vol/one", &site.content);
        }
        let now = site.segments();
        assert!(before.iter().all(|key| now.contains(key)), "what was there stays");
        before = now;
    }
    site.resume(&["--id", "one"], &before);
}
