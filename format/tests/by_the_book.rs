//! A restore tool written from FORMAT.md alone, in another language, restores the golden repository.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{contents, golden, image};

fn restore(repo: &Path, backup: &str, out: &Path) -> (bool, String) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/restore_by_the_book.py");
    let python = std::env::var_os("PYTHON").unwrap_or("python3".into());
    let run = Command::new(python).arg("-B").arg(script).arg(repo).args(["vol", backup]).arg(out).output();
    let output = run.expect("this test needs Python 3: apt-get install python3, or set PYTHON");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn another_language_restores_the_golden_repository() {
    let scratch = tempfile::tempdir().unwrap();
    for (backup, blocks) in contents() {
        let out = scratch.path().join(backup.as_str());
        let (done, said) = restore(&golden().join("repo"), backup.as_str(), &out);
        assert!(done, "{said}");
        assert!(fs::read(&out).unwrap() == image(&blocks), "backup {backup}");
    }
}

#[test]
fn another_language_finds_damage_and_rebuilds_a_lost_map() {
    let scratch = tempfile::tempdir().unwrap();
    let repo = scratch.path().join("repo");
    let copy = Command::new("cp").arg("-r").arg(golden().join("repo")).arg(&repo).status();
    assert!(copy.unwrap().success());
    let out = scratch.path().join("out");
    fs::remove_file(repo.join("vol/b2/map-0")).unwrap();
    let (done, said) = restore(&repo, "b2", &out);
    assert!(done && said.contains("rebuilt"), "{said}");
    assert!(fs::read(&out).unwrap() == image(&contents()[1].1));
    let segment = repo.join("vol/b2/segments/000000");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[3] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let (done, said) = restore(&repo, "b2", &scratch.path().join("damaged"));
    assert!(!done && said.contains("block 1"), "{said}");
}
