//! Any backup can be deleted, in any order. The others stay complete, and data that no backup needs is removed.

use std::collections::BTreeSet;

use septet_tests::content::noise;
use septet_tests::{Repo, Scratch, command};

const BLOCK: usize = 64 << 10;
const CHAIN: usize = 4;

/// The backup that last changed each block, for each backup of the chain: b0 has all, b1 changes
/// block 1, b2 blocks 2 and 1, b3 block 3. So b1's segment is not needed from b2 on, and b0's and
/// b2's are needed to the end.
const OWNERS: [&[usize]; CHAIN] = [&[0, 0, 0, 0, 0], &[0, 1, 0, 0, 0], &[0, 2, 2, 0, 0], &[0, 2, 2, 3, 0]];

fn content(backup: usize) -> Vec<u8> {
    let block = |(block, owner): (usize, &usize)| noise((owner * 10 + block) as u64, BLOCK);
    OWNERS[backup].iter().enumerate().flat_map(block).collect()
}

fn id(backup: usize) -> String {
    format!("b{backup}")
}

fn chain(scratch: &Scratch) -> Repo {
    let repo = scratch.repo();
    for backup in 0..CHAIN {
        repo.backup_as(&id(backup), &scratch.file("volume", &content(backup)), &[]);
    }
    repo
}

/// Exactly the objects that the remaining backups need.
fn needed(left: &BTreeSet<usize>) -> Vec<String> {
    let mut objects = BTreeSet::from(["septet.json".to_owned()]);
    for &backup in left {
        objects.extend(["manifest-0.json", "checksums-0", "map-0"].map(|name| format!("vol/b{backup}/{name}")));
        objects.extend(OWNERS[backup].iter().map(|owner| format!("vol/b{owner}/segments/000000")));
    }
    objects.into_iter().collect()
}

fn check(repo: &Repo, left: &BTreeSet<usize>, why: &str) {
    assert_eq!(repo.objects(), needed(left), "{why}");
    assert_eq!(repo.empty_directories(), Vec::<String>::new(), "{why}");
    for &backup in left {
        repo.assert_restores(&id(backup), &content(backup));
    }
    let listed = repo.septet(["list", "--json"]).ok();
    let listed: Vec<_> =
        listed.events().iter().map(|line| line["backup"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(listed, left.iter().map(|&backup| id(backup)).collect::<Vec<_>>(), "{why}");
}

/// Deletes each of the remaining backups from a copy and repeats this on the copy: tries every order.
fn delete_each(repo: &Repo, left: &BTreeSet<usize>, done: &str) {
    for &doomed in left {
        let scratch = Scratch::in_memory();
        command("cp", [std::path::Path::new("-a"), repo.path(), scratch.dir()]);
        let copy = scratch.repo();
        copy.delete(&[&id(doomed)]);
        let mut rest = left.clone();
        rest.remove(&doomed);
        let done = format!("{done} b{doomed}");
        check(&copy, &rest, &format!("deleted in this order:{done}"));
        delete_each(&copy, &rest, &done);
    }
}

#[test]
fn in_every_order() {
    let scratch = Scratch::in_memory();
    let repo = chain(&scratch);
    let all = (0..CHAIN).collect();
    check(&repo, &all, "before anything is deleted");
    delete_each(&repo, &all, "");
}

#[test]
fn several_at_once() {
    let scratch = Scratch::in_memory();
    let repo = chain(&scratch);
    let summary = repo.delete(&["b0", "vol/b2"]).summary();
    // Two tables of each are removed. Their segments are needed.
    assert_eq!((&summary["event"], summary["objects"].as_u64()), (&"summary".into(), Some(4)), "{summary}");
    check(&repo, &BTreeSet::from([1, 3]), "b0 and b2 at once");
    repo.delete(&["vol@latest"]);
    check(&repo, &BTreeSet::from([1]), "then b3");
    repo.delete(&["b1"]);
    check(&repo, &BTreeSet::new(), "then b1");
}

#[test]
fn an_incremental_goes_on_where_its_parent_was_deleted() {
    let scratch = Scratch::in_memory();
    let repo = chain(&scratch);
    repo.delete(&["b3", "b2"]);
    let backed = repo.backup_as("b4", &scratch.file("volume", &content(3)), &[]);
    assert_eq!(backed.parent.as_deref(), Some("b1"));
    assert_eq!(backed.blocks.data, 3);
    repo.delete(&["b0", "b1"]);
    repo.assert_restores("b4", &content(3));
}

/// A late write of the deleted backup must not become a part of another backup.
#[test]
fn a_deleted_id_is_not_used_again_for_two_days() {
    let scratch = Scratch::in_memory();
    let repo = chain(&scratch);
    repo.delete(&["b3"]);
    assert_eq!(repo.tombstones(), ["vol/b3/manifest-1.json"]);
    let source = scratch.file("volume", &content(0));
    let again = || repo.backup_command(&source).args(["--volume", "vol", "--id", "b3"]);
    // The first day is for late writes, and the second for late deletions.
    for tombstone in ["vol/b3/manifest-1.json", "vol/b3/manifest-4095.json"] {
        assert_eq!(repo.tombstones(), [tombstone]);
        again().fails(1, "vol/b3 was deleted or never completed");
        let day = std::time::Duration::from_secs(25 * 60 * 60);
        let file = std::fs::File::options().write(true).open(repo.path().join(tombstone)).expect("a tombstone");
        file.set_modified(std::time::SystemTime::now() - day).expect("an older tombstone");
        repo.septet(["clean"]).ok();
    }
    assert_eq!(repo.tombstones(), [""; 0]);
    again().ok();
    repo.assert_restores("b3", &content(0));
    repo.delete(&["b2"]);
    repo.assert_restores("b3", &content(0));
}

/// Segments that another backup needs are stored under the deleted id. A new backup of that id must not
/// overwrite them.
#[test]
fn an_id_whose_segments_are_still_needed() {
    let scratch = Scratch::in_memory();
    let repo = chain(&scratch);
    repo.delete(&["b2"]);
    let source = scratch.file("volume", &noise(99, 5 * BLOCK));
    let outcome = repo.backup_command(&source).args(["--volume", "vol", "--id", "b2"]).run();
    repo.assert_restores("b3", &content(3));
    repo.assert_restores("b0", &content(0));
    if outcome.status == Some(0) {
        repo.assert_restores("b2", &noise(99, 5 * BLOCK));
    } else {
        assert!(outcome.exits(1).error_line().contains("b2"));
    }
}

#[test]
fn an_unknown_backup_deletes_nothing() {
    let scratch = Scratch::in_memory();
    let repo = chain(&scratch);
    repo.septet(["delete", "b0", "b9"]).fails(1, "b9");
    check(&repo, &(0..CHAIN).collect(), "one of the two is unknown");
}

#[test]
fn one_volume_leaves_the_others_alone() {
    let scratch = Scratch::in_memory();
    let repo = chain(&scratch);
    let other = noise(77, 2 * BLOCK);
    repo.backup(&scratch.file("other", &other), &["--volume", "other", "--id", "o1"]);
    repo.delete(&["b0", "b1", "b2", "b3"]);
    repo.assert_restores("o1", &other);
    assert!(
        repo.objects().iter().all(|key| key == "septet.json" || key.starts_with("other/o1/")),
        "{:?}",
        repo.objects()
    );
}
