//! A server that misbehaves: each fault at many points of a backup and of a restore.
//!
//! A transient fault is retried, and the backup succeeds. Any other fault fails the backup with one line. After each
//! run the earlier backup restores bit for bit, no incomplete backup is listed, and the next run removes the leftovers.

use std::path::PathBuf;

use septet_store::Store;
use septet_tests::Scratch;
use septet_tests::content::noise;
use septet_tests::s3::{Bucket, Fault, Proxy, Request, Seaweed, Times};
use serde_json::Value;

/// Small parts and segments, so that a small volume makes many requests, and a limit for retries.
const PLACE: &str = "/repo?part-size=5&time-limit=";
const VOLUME_BYTES: usize = 14 << 20;

struct Scene {
    seaweed: Seaweed,
    proxy: Proxy,
    scratch: Scratch,
    content: Vec<u8>,
    runs: u32,
}

impl Scene {
    /// A server with one backup, `base`, of volume `vol`.
    fn new() -> Self {
        let seaweed = Seaweed::shared();
        let proxy = Proxy::before(seaweed.server());
        let scratch = Scratch::in_memory();
        let content = noise(1, VOLUME_BYTES);
        let scene = Self { seaweed, proxy, scratch, content, runs: 0 };
        scene.direct().backup("base", &scene.volume("volume", &scene.content), &["--segment-size", "6MiB"]);
        scene
    }

    fn volume(&self, name: &str, content: &[u8]) -> PathBuf {
        self.scratch.file(name, content)
    }

    fn direct(&self) -> Bucket {
        self.seaweed.repo(&format!("{PLACE}20"))
    }

    fn proxied(&self, limit_seconds: u32) -> Bucket {
        Bucket::at(self.proxy.server(), &self.seaweed.place(&format!("{PLACE}{limit_seconds}")))
    }

    /// A full backup while `fault` hits request `first`. Returns its id, whether the fault occurred, and the outcome.
    fn back_up(
        &mut self,
        fault: Fault,
        times: Times,
        first: u64,
        choice: fn(&Request) -> bool,
        limit_seconds: u32,
    ) -> Run {
        self.runs += 1;
        let id = format!("run{}", self.runs);
        self.proxy.inject(fault, times, first, choice);
        let args = ["--full", "--segment-size", "6MiB", "--compression", "none"];
        let outcome = self.proxied(limit_seconds).backup_command(&id, &self.scratch.path("volume"), &args).run();
        let hits = self.proxy.behave();
        println!(
            "{fault:?} at {first}, {times:?}: {hits} hits, status {:?}: {}",
            outcome.status,
            outcome.stderr.trim()
        );
        Run { id, hits, status: outcome.status.expect("an exit status"), stderr: outcome.stderr }
    }

    /// Asserts that only complete backups are listed, and that the first one is unchanged.
    fn check(&self, whole: &[&str]) {
        let repo = self.direct();
        let mut listed = repo.listed();
        listed.sort();
        let mut expected = [&["base"], whole].concat();
        expected.sort_unstable();
        assert_eq!(listed, expected);
        repo.assert_restores("base", &self.content);
        for id in whole {
            repo.assert_restores(id, &self.content);
        }
    }

    /// The next run removes the leftovers. After all backups are deleted, no object exists.
    fn check_nothing_left(&self) {
        // Through the disturbed proxy: each endpoint is probed separately for the checks of its server.
        let repo = self.proxied(20);
        repo.backup("last", &self.scratch.path("volume"), &[]);
        for id in repo.listed() {
            repo.delete(&id);
        }
        assert_eq!(repo.objects(), ["septet.json"]);
        assert_eq!(repo.unfinished(), 0, "uploads that nobody aborted");
    }
}

struct Run {
    id: String,
    hits: u64,
    status: i32,
    stderr: String,
}

fn any(_: &Request) -> bool {
    true
}

fn is_write(request: &Request) -> bool {
    request.method == "PUT" || request.method == "POST"
}

/// Hits each of many requests once with a transient fault. The backup must still succeed.
fn passes(fault: Fault, choice: fn(&Request) -> bool) {
    let mut scene = Scene::new();
    let mut hit = 0;
    // A stall is detected only after a third of the limit.
    let limit_seconds = if fault == Fault::Stall { 9 } else { 20 };
    for first in [0, 1, 2, 3, 5, 8, 11, 14, 17] {
        let run = scene.back_up(fault, Times::Once, first, choice, limit_seconds);
        assert_eq!(run.status, 0, "{fault:?} at request {first}: {}", run.stderr);
        hit += run.hits;
        scene.check(&[&run.id]);
        scene.direct().delete(&run.id);
    }
    assert!(hit >= 5, "only {hit} requests were hit");
    scene.check_nothing_left();
}

#[test]
fn an_error_500_passes() {
    passes(Fault::Answer(500, "InternalError"), any);
}

#[test]
fn slow_down_passes() {
    passes(Fault::Answer(503, "SlowDown"), any);
}

#[test]
fn a_reset_in_the_middle_of_a_request_passes() {
    passes(Fault::ResetRequest, is_write);
}

#[test]
fn a_lost_answer_passes_though_the_request_was_obeyed() {
    passes(Fault::LoseAnswer, any);
}

#[test]
fn a_reset_in_the_middle_of_an_answer_passes() {
    passes(Fault::ResetAnswer, any);
}

#[test]
fn a_cut_answer_passes() {
    passes(Fault::CutAnswer, |request| request.method != "DELETE");
}

#[test]
fn an_answer_that_promises_more_passes() {
    passes(Fault::LongerAnswer, |request| request.method == "GET" || request.method == "POST");
}

#[test]
fn a_stall_passes() {
    passes(Fault::Stall, |request| request.target.contains("/vol/"));
}

#[test]
fn a_bit_that_flips_on_the_way_up_is_noticed_and_sent_again() {
    passes(Fault::FlipRequest, |request| request.method == "PUT");
}

/// Hits all requests from some point on. The backup fails, reports the reason, and leaves nothing incomplete.
fn fails(fault: Fault, times: Times, words: &str) {
    let mut scene = Scene::new();
    let mut failed = 0;
    for first in [0, 2, 4, 7, 10, 13] {
        let run = scene.back_up(fault, times, first, any, 2);
        assert!(run.hits > 0, "request {first} was never made");
        if run.status == 0 {
            // Only a check of the result remained.
            scene.check(&[&run.id]);
            continue;
        }
        let errors: Vec<_> = run.stderr.lines().filter(|line| line.contains("error:")).collect();
        assert_eq!((run.status, errors.len()), (1, 1), "{}", run.stderr);
        assert!(errors[0].contains(words), "{fault:?} at {first}: {words:?} is not in {:?}", errors[0]);
        failed += 1;
        scene.check(&[]);
    }
    assert!(failed >= 5, "{failed} runs failed");
    scene.check_nothing_left();
}

#[test]
fn what_does_not_pass_is_told() {
    for (status, code, words) in [
        (403, "AccessDenied", "grant this key the rights"),
        (400, "ExpiredToken", "get new ones"),
        (403, "RequestTimeTooSkewed", "clocks"),
        (404, "NoSuchBucket", "no such bucket"),
        (301, "PermanentRedirect", "AWS_REGION"),
        (403, "QuotaExceeded", "quota"),
        (503, "SlowDown", "SlowDown"),
    ] {
        fails(Fault::Answer(status, code), Times::FromThenOn, words);
    }
}

#[test]
fn a_server_that_is_silent_or_gone_is_told() {
    fails(Fault::Stall, Times::FromThenOn, "no progress");
    fails(Fault::ResetRequest, Times::FromThenOn, "is healthy and reachable");
}

#[test]
fn a_restore_goes_on_where_it_was_broken_off() {
    let scene = Scene::new();
    let reads = |request: &Request| request.method == "GET" && request.target.contains("segments");
    let faults = [
        Fault::Answer(500, "InternalError"),
        Fault::Answer(503, "SlowDown"),
        Fault::ResetAnswer,
        Fault::CutAnswer,
        Fault::LongerAnswer,
        Fault::LoseAnswer,
        Fault::Stall,
    ];
    for fault in faults {
        for first in [0, 1, 2] {
            scene.proxy.inject(fault, Times::Once, first, reads);
            scene.proxied(10).assert_restores("base", &scene.content);
            assert_eq!(scene.proxy.behave(), 1, "{fault:?} at {first}");
        }
    }
}

#[test]
fn a_bit_that_flips_on_the_way_down_is_never_restored() {
    let scene = Scene::new();
    for first in 0..8 {
        scene.proxy.inject(Fault::FlipAnswer, Times::Once, first, |request| request.method == "GET");
        let target = scene.scratch.path("restored");
        let outcome = scene.proxied(5).septet(&["restore", "--json", "vol/base"]).arg(&target).run();
        if outcome.status == Some(0) {
            assert!(std::fs::read(&target).unwrap() == scene.content, "request {first}: wrong bytes were restored");
            let summary: Value = outcome.summary();
            assert_eq!(summary["damaged"].as_array().map(Vec::len), Some(0));
        } else {
            assert!(!target.exists(), "a target that is not whole was left");
        }
        let _ = std::fs::remove_file(&target);
        scene.proxy.behave();
    }
    scene.check(&[]);
}

#[test]
fn a_backup_that_was_killed_goes_on() {
    const TRIES: usize = 20;
    let seaweed = Seaweed::shared();
    let scratch = Scratch::in_memory();
    let content = noise(1, 48 << 20);
    let volume = scratch.file("volume", &content);
    let args = ["--segment-size", "1MiB", "--compression", "none"];
    for prefix in 0..TRIES {
        let repo = seaweed.repo(&format!("/{prefix}"));
        let segments = || -> Vec<(String, u64)> {
            let objects = repo.store().list("vol/one/segments/").unwrap_or_default();
            objects.into_iter().map(|object| (object.key, object.bytes)).collect()
        };
        let mut run = repo.backup_command("one", &volume, &args).spawn();
        run.wait_until(|_| Some(()).filter(|()| segments().len() >= 4));
        run.signal(rustix::process::Signal::KILL);
        if run.wait().status == Some(0) {
            continue;
        }
        let before = segments();
        let summary = repo.backup("one", &volume, &args);
        let taken_over: u64 = before.iter().map(|(_, bytes)| bytes).sum();
        println!("{} segments, {taken_over} bytes were there", before.len());
        // Requests that were in flight when the run was killed may have completed after our check.
        assert!(summary["bytes_taken_over"].as_u64().is_some_and(|bytes| bytes >= taken_over), "{summary}");
        let after = segments();
        assert!(before.iter().all(|segment| after.contains(segment)), "what was there stays as it is");
        let stored: u64 = after.iter().map(|(_, bytes)| bytes).sum();
        assert!(stored < content.len() as u64 * 102 / 100, "{stored} bytes are stored");
        repo.assert_restores("one", &content);
        assert_eq!(repo.unfinished(), 0);
        return;
    }
    panic!("no run was met in the middle");
}
