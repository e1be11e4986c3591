//! Every agent is a separate process, and a signal stops all of them cleanly.

use std::collections::BTreeSet;

use rustix::process::Signal;
use septet_tests::content::noise;
use septet_tests::{Scratch, Septet};

const BACKUP_AGENTS: [&str; 7] = [
    "septet-master",
    "septet-reader",
    "septet-checksum",
    "septet-diff",
    "septet-compressor",
    "septet-datawriter",
    "septet-metawriter",
];
const RESTORE_AGENTS: [&str; 4] =
    ["septet-master", "septet-backupreader", "septet-decompressor", "septet-volumewriter"];

/// Every agent that was seen during the run. An agent that lives as long as the run is always seen.
fn agents_of(run: Septet) -> BTreeSet<String> {
    let mut running = run.spawn();
    let mut seen = BTreeSet::new();
    running.wait_until(|run| {
        seen.extend(run.agents().into_iter().map(|agent| agent.name));
        None::<()>
    });
    running.wait().exits(0);
    seen
}

#[test]
fn each_agent_is_a_process_with_its_own_name() {
    let scratch = Scratch::in_memory();
    let repo = scratch.repo();
    let source = scratch.file("volume", &noise(3, 192 << 20));
    let seen = agents_of(repo.backup_command(&source).args(["--id", "b1"]));
    assert_eq!(seen, BACKUP_AGENTS.map(str::to_owned).into());
    let seen = agents_of(repo.restore_command("b1", &scratch.path("restored")));
    assert_eq!(seen, RESTORE_AGENTS.map(str::to_owned).into());
}

#[test]
fn interrupted_is_130_and_leaves_nothing() {
    for signal in [Signal::INT, Signal::TERM] {
        let scratch = Scratch::in_memory();
        let repo = scratch.repo();
        repo.backup_as("b1", &scratch.file("volume", &noise(1, 100_000)), &[]);
        let before = repo.objects();
        let source = scratch.file("large", &noise(4, 256 << 20));
        let mut running = repo.backup_command(&source).args(["--volume", "vol", "--full"]).spawn();
        assert!(running.agent("metawriter").is_some(), "the backup was over before it could be interrupted");
        running.signal(signal);
        let outcome = running.wait().exits(130);
        assert!(outcome.error_line().contains("interrupted"), "{}", outcome.stderr);
        assert_eq!(repo.objects(), before);
    }
}
