//! Incremental backups store only changes, and restore like full backups.

use septet_tests::content::{Rng, noise, text};
use septet_tests::{Blocks, Repo, Scratch};

const BLOCK: usize = 64 << 10;

fn blocks(data: u64, zero: u64, hole: u64, unchanged: u64) -> Blocks {
    Blocks { data, zero, hole, unchanged }
}

/// A repository with the full backup `b0` of this content.
fn full(scratch: &Scratch, content: &[u8]) -> Repo {
    let repo = scratch.repo();
    repo.backup_as("b0", &scratch.file("volume", content), &[]);
    repo
}

#[test]
fn the_newest_backup_is_the_parent() {
    let scratch = Scratch::in_memory();
    let mut content = noise(1, 10 * BLOCK);
    let repo = full(&scratch, &content);
    content[0] ^= 1;
    content[5 * BLOCK] ^= 1;
    let first = repo.backup_as("b1", &scratch.file("volume", &content), &[]);
    assert_eq!((first.parent.as_deref(), first.blocks), (Some("b0"), blocks(2, 0, 0, 8)));
    content[9 * BLOCK] ^= 1;
    let second = repo.backup_as("b2", &scratch.file("volume", &content), &[]);
    assert_eq!((second.parent.as_deref(), second.blocks), (Some("b1"), blocks(1, 0, 0, 9)));
    assert!(second.bytes_stored < 2 * BLOCK as u64, "{} bytes stored", second.bytes_stored);
    repo.assert_restores("b2", &content);
}

#[test]
fn a_parent_can_be_chosen() {
    let scratch = Scratch::in_memory();
    let original = noise(2, 6 * BLOCK);
    let repo = full(&scratch, &original);
    let changed = noise(3, 6 * BLOCK);
    repo.backup_as("b1", &scratch.file("volume", &changed), &[]);
    let source = scratch.file("volume", &original);
    let backed = repo.backup_as("b2", &source, &["--parent", "b0"]);
    assert_eq!((backed.parent.as_deref(), backed.blocks), (Some("b0"), blocks(0, 0, 0, 6)));
    repo.assert_restores("b2", &original);
    repo.assert_restores("b1", &changed);
    repo.backup_command(&source).args(["--volume", "vol", "--parent", "nobody"]).fails(1, "nobody");
    repo.backup_command(&source).args(["--volume", "vol", "--parent", "b0", "--full"]).run().exits(2);
}

#[test]
fn full_compares_with_nothing() {
    let scratch = Scratch::in_memory();
    let content = noise(4, 5 * BLOCK);
    let repo = full(&scratch, &content);
    let source = scratch.file("volume", &content);
    let backed = repo.backup_as("b1", &source, &["--full", "--block-size", "128KiB"]);
    assert_eq!((backed.parent, backed.blocks, backed.block_bytes), (None, blocks(3, 0, 0, 0), 128 << 10));
    repo.assert_restores("b1", &content);
}

#[test]
fn another_block_size_needs_a_full_backup() {
    let scratch = Scratch::in_memory();
    let repo = full(&scratch, &noise(4, 5 * BLOCK));
    let source = scratch.path("volume");
    repo.backup_command(&source).args(["--volume", "vol", "--block-size", "1MiB"]).fails(2, "--full");
}

#[test]
fn two_volumes_have_nothing_to_do_with_each_other() {
    let scratch = Scratch::in_memory();
    let content = noise(5, 3 * BLOCK);
    let repo = full(&scratch, &content);
    let other = repo.backup(&scratch.path("volume"), &["--volume", "other", "--id", "o1"]);
    assert_eq!(other.parent, None);
    repo.assert_restores("other@latest", &content);
}

#[test]
fn a_volume_that_grew() {
    let scratch = Scratch::in_memory();
    let mut content = noise(6, 3 * BLOCK + 100);
    let repo = full(&scratch, &content);
    content.extend(noise(7, 2 * BLOCK));
    let backed = repo.backup_as("b1", &scratch.file("volume", &content), &[]);
    assert_eq!(backed.blocks, blocks(3, 0, 0, 3), "the short last block grew too");
    repo.assert_restores("b1", &content);
    // Only a hole is new.
    content.resize(20 * BLOCK, 0);
    let path = scratch.path("volume");
    std::fs::File::options().write(true).open(&path).unwrap().set_len(20 * BLOCK as u64).unwrap();
    let backed = repo.backup_as("b2", &path, &[]);
    assert_eq!((backed.blocks.unchanged, backed.blocks.data), (5, 1), "{:?}", backed.blocks);
    repo.assert_restores("b2", &content);
}

#[test]
fn a_volume_that_shrank() {
    let scratch = Scratch::in_memory();
    let content = noise(8, 8 * BLOCK);
    let repo = full(&scratch, &content);
    for (id, bytes, expected) in [
        ("b1", 5 * BLOCK, blocks(0, 0, 0, 5)),
        ("b2", 2 * BLOCK + 9, blocks(1, 0, 0, 2)),
        ("b3", 0, blocks(0, 0, 0, 0)),
    ] {
        let backed = repo.backup_as(id, &scratch.file("volume", &content[..bytes]), &[]);
        assert_eq!(backed.blocks, expected, "{id}");
        repo.assert_restores(id, &content[..bytes]);
    }
    repo.assert_restores("b0", &content);
    let backed = repo.backup_as("b4", &scratch.file("volume", &content), &[]);
    assert_eq!(backed.blocks, blocks(8, 0, 0, 0), "its parent has nothing");
    repo.assert_restores("b4", &content);
}

#[test]
fn a_block_that_returns_to_what_it_was() {
    let scratch = Scratch::in_memory();
    let original = noise(9, 4 * BLOCK);
    let repo = full(&scratch, &original);
    let mut changed = original.clone();
    changed[BLOCK..2 * BLOCK].copy_from_slice(&text(9, BLOCK));
    repo.backup_as("b1", &scratch.file("volume", &changed), &[]);
    repo.backup_as("b2", &scratch.file("volume", &original), &[]);
    for (id, content) in [("b0", &original), ("b1", &changed), ("b2", &original)] {
        repo.assert_restores(id, content);
    }
}

#[test]
fn zeroed_blocks_are_zero_and_not_the_parents() {
    let scratch = Scratch::in_memory();
    let mut content = noise(10, 6 * BLOCK);
    let repo = full(&scratch, &content);
    content[BLOCK..3 * BLOCK].fill(0);
    let written = repo.backup_as("written", &scratch.file("volume", &content), &[]);
    assert_eq!((written.blocks.data, written.blocks.unchanged), (0, 4), "{:?}", written.blocks);
    septet_tests::content::write_sparse(&scratch.path("volume"), &content);
    let punched = repo.backup_as("punched", &scratch.path("volume"), &[]);
    assert_eq!(punched.blocks, blocks(0, 0, 2, 4));
    let again = repo.backup_as("again", &scratch.path("volume"), &[]);
    assert_eq!((again.blocks.data, again.blocks.unchanged), (0, 4), "{:?}", again.blocks);
    content[BLOCK..2 * BLOCK].copy_from_slice(&noise(11, BLOCK));
    repo.backup_as("filled", &scratch.file("volume", &content), &[]);
    repo.assert_restores("filled", &content);
    content[BLOCK..3 * BLOCK].fill(0);
    for id in ["written", "punched", "again"] {
        repo.assert_restores(id, &content);
    }
}

#[test]
fn a_changed_source_of_the_same_volume() {
    let scratch = Scratch::in_memory();
    let content = noise(12, 4 * BLOCK);
    let repo = full(&scratch, &content);
    let moved = scratch.file("elsewhere", &content);
    assert_eq!(repo.backup_as("b1", &moved, &[]).blocks, blocks(0, 0, 0, 4));
}

#[test]
fn a_parent_that_is_damaged_is_not_compared_with() {
    let scratch = Scratch::in_memory();
    let content = noise(14, 4 * BLOCK);
    let repo = full(&scratch, &content);
    let checksums = repo.path().join("vol/b0/checksums-0");
    let mut bytes = std::fs::read(&checksums).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&checksums, bytes).unwrap();
    let source = scratch.path("volume");
    repo.backup_command(&source).args(["--volume", "vol", "--parent", "b0"]).fails(1, "vol/b0/checksums-0");
    let outcome = repo.backup_command(&source).args(["--volume", "vol", "--id", "b1"]).ok();
    let noted = outcome
        .events()
        .iter()
        .any(|event| event["event"] == "note" && event["text"].as_str().unwrap().contains("full"));
    assert!(noted && outcome.summary()["parent"].is_null(), "{}", outcome.stdout);
    repo.assert_restores("b1", &content);
}

/// No chain is replayed: each block is read once, from any backup.
#[test]
fn the_last_of_a_hundred_costs_what_a_full_costs() {
    let scratch = Scratch::in_memory();
    let mut rng = Rng::new(13);
    let mut content = noise(13, 40 * BLOCK);
    let repo = full(&scratch, &content);
    for number in 1..=100 {
        let block = rng.below(40);
        content[block * BLOCK..(block + 1) * BLOCK].copy_from_slice(&noise(1000 + number, BLOCK));
        repo.backup_as(&format!("b{number}"), &scratch.file("volume", &content), &[]);
    }
    let reads =
        |backup: &str, target: &str| repo.restore(backup, &scratch.path(target), &[]).summary()["bytes_read"].clone();
    let (first, last) = (reads("b0", "first"), reads("b100", "last"));
    assert_eq!((first.as_u64(), last.as_u64()), (Some(40 * BLOCK as u64), Some(40 * BLOCK as u64)));
    septet_tests::assert_bytes(&scratch.path("last"), &content);
}

/// A change of a volume.
fn live(rng: &mut Rng, content: &mut Vec<u8>, past: &[Vec<u8>]) {
    let at = rng.below(content.len().max(1));
    let range = at.min(content.len())..(at + 1 + rng.below(3 * BLOCK)).min(content.len());
    match rng.below(7) {
        0 => content[range].fill(0),
        1 => content.truncate(at),
        2 => content.extend(noise(rng.next_u64(), rng.below(4 * BLOCK))),
        3 => content.resize(content.len() + rng.below(5 * BLOCK), 0),
        4 => {
            let old = rng.choose(past);
            let range = range.start.min(old.len())..range.end.min(old.len());
            content[range.clone()].copy_from_slice(&old[range]);
        }
        5 => content[range.clone()].copy_from_slice(&text(rng.next_u64(), range.len())),
        _ => content[range.clone()].copy_from_slice(&noise(rng.next_u64(), range.len())),
    }
}

fn random_life(seed: u64) {
    let scratch = Scratch::in_memory();
    let mut rng = Rng::new(seed);
    let mut content = noise(seed, 12 * BLOCK + rng.below(BLOCK));
    let repo = full(&scratch, &content);
    let mut past = vec![content.clone()];
    while past.len() < 25 {
        for _ in 0..=rng.below(3) {
            live(&mut rng, &mut content, &past);
        }
        septet_tests::content::write_sparse(&scratch.path("volume"), &content);
        let id = format!("b{}", past.len());
        let parent = format!("b{}", rng.below(past.len()));
        let args: &[&str] = match rng.below(5) {
            0 => &["--full"],
            1 => &["--parent", &parent],
            2 => &["--compression", "none"],
            _ => &[],
        };
        let backed = repo.backup_as(&id, &scratch.path("volume"), args);
        assert_eq!(backed.bytes_volume, content.len() as u64, "seed {seed}, {id}");
        past.push(content.clone());
    }
    for (number, content) in past.iter().enumerate() {
        repo.assert_restores(&format!("b{number}"), content);
    }
}

#[test]
fn a_random_life_by_seed_1() {
    random_life(1);
}

#[test]
fn a_random_life_by_seed_2() {
    random_life(2);
}
