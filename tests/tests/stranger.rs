//! An independent program restores our backups: it is written in Python, from FORMAT.md alone.

use std::path::Path;
use std::process::Command;

use septet_tests::content::{mixed, noise};
use septet_tests::{Repo, Scratch, assert_bytes, target_dir, workspace_dir};

const BLOCK: usize = 64 << 10;

/// Its optional packages make it fast. It also works without them.
fn python() -> std::path::PathBuf {
    let with_packages = target_dir().join("venv/bin/python3");
    if with_packages.exists() { with_packages } else { "python3".into() }
}

fn restores_by_the_book(repo: &Repo, backup: &str, target: &Path, expected: &[u8]) {
    let script = workspace_dir().join("format/tests/restore_by_the_book.py");
    let output =
        Command::new(python()).arg("-B").arg(script).arg(repo.path()).args(["vol", backup]).arg(target).output();
    let output = output.expect("this test needs Python 3: tests/setup installs it");
    assert!(output.status.success(), "{backup}: {}", String::from_utf8_lossy(&output.stderr));
    assert_bytes(target, expected);
}

fn full_and_incremental(compression: &str) {
    let scratch = Scratch::in_memory();
    let repo = scratch.repo();
    let mut content = mixed(61, 6 * BLOCK + 321, BLOCK / 2);
    let args = ["--compression", compression];
    repo.backup_as("full", &scratch.file("volume", &content), &args);
    let full = content.clone();
    content[BLOCK + 9..2 * BLOCK].copy_from_slice(&noise(62, BLOCK - 9));
    content[3 * BLOCK..4 * BLOCK].fill(0);
    content.extend(noise(63, BLOCK));
    let backed = repo.backup_as("incremental", &scratch.file("volume", &content), &args);
    assert!(backed.blocks.unchanged > 0 && backed.blocks.data > 0, "{:?}", backed.blocks);
    restores_by_the_book(&repo, "full", &scratch.path("by-the-book-1"), &full);
    restores_by_the_book(&repo, "incremental", &scratch.path("by-the-book-2"), &content);
}

#[test]
fn full_and_incremental_with_lz4() {
    full_and_incremental("lz4");
}

#[test]
fn full_and_incremental_as_they_are() {
    full_and_incremental("none");
}

#[test]
fn an_empty_volume() {
    let scratch = Scratch::in_memory();
    let repo = scratch.repo();
    repo.backup_as("empty", &scratch.file("volume", &[]), &[]);
    restores_by_the_book(&repo, "empty", &scratch.path("by-the-book"), &[]);
}
