//! A lost or damaged map is rebuilt from the indexes of the segments, with exactly the same bytes.

use std::fs;

use septet_tests::content::{noise, text};
use septet_tests::{Repo, Scratch};

const BLOCK: usize = 64 << 10;

/// Three backups of a volume that contains zeros. The last one has blocks of each.
fn chain(scratch: &Scratch) -> (Repo, Vec<u8>) {
    let repo = scratch.repo();
    let mut content = [noise(1, 2 * BLOCK), text(1, 2 * BLOCK), vec![0; BLOCK], noise(2, BLOCK + 77)].concat();
    repo.backup_as("b1", &scratch.file("volume", &content), &[]);
    content[BLOCK..2 * BLOCK].copy_from_slice(&text(2, BLOCK));
    content[3 * BLOCK..4 * BLOCK].fill(0);
    repo.backup_as("b2", &scratch.file("volume", &content), &[]);
    // b1 stores an old version of this block, and b2 stores the same block with other bytes.
    content[BLOCK..2 * BLOCK].copy_from_slice(&noise(5, BLOCK));
    repo.backup_as("b3", &scratch.file("volume", &content), &[]);
    (repo, content)
}

/// Damages tables of b3 and asserts that `septet rebuild` repairs them.
fn loses(tables: &[&str], lose: impl Fn(&std::path::Path)) {
    let scratch = Scratch::in_memory();
    let (repo, content) = chain(&scratch);
    let paths: Vec<_> = tables.iter().map(|table| repo.path().join("vol/b3").join(table)).collect();
    let old: Vec<_> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    paths.iter().for_each(|path| lose(path));
    let target = scratch.path("restored");
    repo.restore_command("b3", &target).fails(1, "septet rebuild");
    assert!(!target.exists());
    repo.septet(["verify"]).run().exits(3);
    let said = repo.septet(["rebuild", "b3"]).ok().stdout;
    for table in tables {
        assert!(said.contains(table.trim_end_matches("-0")), "{said}");
    }
    for (path, old) in paths.iter().zip(&old) {
        assert!(fs::read(path).unwrap() == *old, "{} is not what it was", path.display());
    }
    repo.septet(["verify"]).ok();
    repo.assert_restores("b3", &content);
}

#[test]
fn a_lost_map() {
    loses(&["map-0"], |path| fs::remove_file(path).unwrap());
}

#[test]
fn an_emptied_map() {
    loses(&["map-0"], |path| fs::write(path, []).unwrap());
}

#[test]
fn a_flipped_map() {
    loses(&["map-0"], |path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    });
}

#[test]
fn lost_checksums() {
    loses(&["checksums-0"], |path| fs::remove_file(path).unwrap());
}

#[test]
fn nothing_lost_changes_nothing() {
    let scratch = Scratch::in_memory();
    let (repo, content) = chain(&scratch);
    let map = repo.path().join("vol/b2/map-0");
    let before = fs::metadata(&map).unwrap().modified().unwrap();
    repo.septet(["rebuild", "b2"]).ok();
    assert_eq!(fs::metadata(&map).unwrap().modified().unwrap(), before);
    repo.assert_restores("b3", &content);
}

#[test]
fn what_no_segment_knows_is_named() {
    let scratch = Scratch::in_memory();
    let (repo, _) = chain(&scratch);
    fs::remove_file(repo.path().join("vol/b3/map-0")).unwrap();
    fs::remove_file(repo.path().join("vol/b3/segments/000000")).unwrap();
    // b3 itself stores block 1.
    repo.septet(["rebuild", "b3"]).fails(1, "65536..131072");
    assert!(!repo.path().join("vol/b3/map-0").exists(), "a map that is not the very one must not be written");
    repo.septet(["rebuild", "b9"]).fails(1, "b9");
}

/// b1's manifest does not exist any more, but b3 still names its segment.
#[test]
fn a_map_into_segments_of_a_deleted_backup() {
    let scratch = Scratch::in_memory();
    let (repo, content) = chain(&scratch);
    repo.delete(&["b1", "b2"]);
    fs::remove_file(repo.path().join("vol/b3/map-0")).unwrap();
    repo.septet(["rebuild", "vol@latest"]).ok();
    repo.assert_restores("b3", &content);
}
