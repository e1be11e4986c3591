//! The promises to programs that run septet: a run ends with its caller, a forced deletion leaves nothing of a
//! backup in any state, and the metadata of a backup is returned.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use septet_tests::content::noise;
use septet_tests::{Repo, Scratch, assert_bytes, binary};
use serde_json::json;

const BLOCK: usize = 64 << 10;

fn clean() -> Vec<String> {
    vec!["septet.json".to_owned()]
}

fn force_delete(repo: &Repo, backup: &str) {
    repo.septet(["delete", "--json", "--force", backup]).ok();
}

#[test]
fn metadata_comes_back_and_what_is_none_is_refused() {
    let scratch = Scratch::in_memory();
    let (repo, volume) = (scratch.repo(), scratch.file("volume", &noise(1, BLOCK)));
    let metadata = scratch.file("metadata", br#"{"name": "Volume \"one\"", "nested": {"size": 1}}"#);
    repo.backup_as("b1", &volume, &["--metadata", metadata.to_str().unwrap()]);
    let shown = repo.septet(["show", "--json", "vol/b1"]).ok();
    let expected = json!({ "name": "Volume \"one\"", "nested": { "size": 1 } });
    assert_eq!(shown.events()[0]["extensions"]["metadata"], expected);
    let list = scratch.file("list", b"[1]");
    repo.backup_command(&volume).arg("--metadata").arg(&list).fails(2, "is not a JSON object");
    let huge = scratch.file("huge", &vec![b' '; 300 << 10]);
    repo.backup_command(&volume).arg("--metadata").arg(&huge).fails(2, "256.0 KiB");
    repo.backup_command(&volume).arg("--metadata").arg(scratch.path("none")).fails(1, "no such file");
}

#[test]
fn a_run_ends_when_its_standard_input_does() {
    let scratch = Scratch::in_memory();
    let (repo, volume) = (scratch.repo(), scratch.file("volume", &noise(1, 4 << 20)));
    // Standard input is /dev/null.
    repo.backup_command(&volume).arg("--until-eof").fails(130, "interrupted");
    assert_eq!(repo.objects(), clean());
    let mut run = Command::new(binary());
    run.args(["backup", "--until-eof", "--repo"]).arg(repo.path()).arg(&volume);
    let mut run = run.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let kept_open = run.stdin.take();
    assert!(run.wait().unwrap().success());
    drop(kept_open);
}

#[test]
fn a_forced_deletion_of_nothing_is_no_error() {
    let scratch = Scratch::in_memory();
    let repo = scratch.repo();
    repo.backup_as("b1", &scratch.file("volume", &noise(1, BLOCK)), &[]);
    let before = repo.objects();
    force_delete(&repo, "vol/b2");
    force_delete(&repo, "other/b1");
    assert_eq!(repo.objects(), before);
    repo.septet(["delete", "vol/b2"]).fails(1, "there is no backup vol/b2");
    repo.septet(["delete", "--force", "b1"]).fails(2, "VOLUME/ID");
    force_delete(&repo, "vol/b1");
    assert_eq!(repo.objects(), clean());
}

#[test]
fn a_forced_deletion_clears_away_what_another_host_has_left() {
    let scratch = Scratch::in_memory();
    let (repo, volume) = (scratch.repo(), scratch.file("volume", &noise(1, BLOCK)));
    repo.backup_as("b1", &volume, &[]);
    let id = repo.septet(["show", "--json", "vol/b1"]).ok().events()[0]["repository"].clone();
    let marker = json!({
        "format": 1, "repository": id, "volume": "vol", "backup": "b2", "parent": "b1", "attempt": 0,
        "by": { "machine": { "id": "m", "name": "elsewhere" }, "boot": "b", "pid_namespace": "pid:[1]", "pid": 1,
            "process_start": 1 },
        "source": { "name": "/dev/vdb", "kind": "device", "identity": "serial 1" },
        "created": "2026-11-22T00:00:00Z", "beat": 0,
    });
    fs::create_dir_all(repo.path().join("vol/b2/segments")).unwrap();
    fs::write(repo.path().join("vol/b2/pending-0.json"), marker.to_string()).unwrap();
    fs::write(repo.path().join("vol/b2/segments/000000"), b"some").unwrap();
    repo.backup_as("b3", &volume, &["--parent", "b1"]);
    assert!(repo.path().join("vol/b2/pending-0.json").exists(), "nobody knows whether it still runs");
    force_delete(&repo, "vol/b2");
    assert!(!repo.objects().iter().any(|key| key.starts_with("vol/b2/")), "{:?}", repo.objects());
    assert_eq!(repo.tombstones(), ["vol/b2/manifest-0.json"]);
    repo.assert_restores("vol/b3", &noise(1, BLOCK));
}

#[test]
fn a_backup_that_is_deleted_by_force_while_it_is_made_fails_and_leaves_nothing() {
    let scratch = Scratch::in_memory();
    let (repo, volume) = (scratch.repo(), scratch.file("volume", &noise(1, BLOCK)));
    let backup = repo.backup_command(&volume).args(["--volume", "vol", "--id", "b1"]);
    let mut run = backup.spawn();
    run.wait_until(|run| (run.agents().len() == 7).then_some(())).expect("the agents");
    // Without it the agents continue until they write the manifest.
    run.signal(Signal::STOP);
    let manifest = repo.path().join("vol/b1/manifest-0.json");
    run.wait_until(|_| manifest.exists().then_some(())).expect("the manifest");
    force_delete(&repo, "vol/b1");
    run.signal(Signal::CONT);
    let error = run.wait().exits(1).error_line().to_owned();
    assert!(error.contains("vol/b1 was deleted while it was being made"), "{error}");
    assert_eq!(repo.objects(), clean());
}

#[test]
fn zeros_are_not_written_to_a_target_that_has_them() {
    let scratch = Scratch::in_memory();
    let (data, zeros) = (noise(1, BLOCK), vec![0; BLOCK]);
    let repo = scratch.repo();
    repo.backup_as("b1", &scratch.file("volume", &[&data[..], &zeros].concat()), &[]);
    // The content is not zero, so nothing was written.
    let target = scratch.file("target", &vec![0xff; 2 * BLOCK]);
    repo.restore("vol/b1", &target, &["--overwrite", "--zeroed"]);
    assert_bytes(&target, &[data, vec![0xff; BLOCK]].concat());
}
