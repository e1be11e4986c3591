//! `septet smoke` passes on a correct set-up, names the fault of a wrong one, and leaves nothing.

use std::fs;
use std::path::{Path, PathBuf};

use septet_tests::content::noise;
use septet_tests::{Scratch, septet};

/// The content of a directory.
fn entries(path: &Path) -> Vec<PathBuf> {
    fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn the_smoke_test_passes_and_leaves_nothing() {
    let scratch = Scratch::in_memory();
    fs::create_dir(scratch.path("tmp")).unwrap();
    let said = septet(["smoke"]).env("TMPDIR", scratch.path("tmp")).ok().stdout;
    for step in ["full backup", "incremental backup", "restore", "compare", "delete", "smoke test passed"] {
        assert!(said.contains(step), "{step} is missing in:\n{said}");
    }
    assert!(entries(&scratch.path("tmp")).is_empty());
    let repo = scratch.repo();
    repo.backup_as("b1", &scratch.file("volume", &noise(1, 100_000)), &[]);
    let before = repo.objects();
    repo.septet(["smoke"]).env("TMPDIR", scratch.path("tmp")).ok();
    assert_eq!((repo.objects(), repo.empty_directories()), (before, Vec::new()));
    assert!(entries(&scratch.path("tmp")).is_empty());
}

#[test]
fn the_smoke_test_names_what_is_wrong() {
    let scratch = Scratch::in_memory();
    let file = scratch.file("file", b"no repository");
    let outcome = septet(["smoke", "--repo"]).arg(&file).env("TMPDIR", scratch.dir()).run().exits(1);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    assert!(outcome.error_line().contains("full backup"), "{}", outcome.stderr);
    assert_eq!(entries(scratch.dir()), [file]);
}
