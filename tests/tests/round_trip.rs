//! Every restore is bit for bit what was backed up, for any size, any kind of blocks and any location.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use septet_tests::content::{Rng, mixed, noise, write_sparse};
use septet_tests::{LoopDevice, Scratch, allocated_bytes, assert_bytes};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Backs up `content` and restores it to a new file.
fn round_trip(scratch: &Scratch, name: &str, content: &[u8], args: &[&str]) {
    let (source, target) = (scratch.file(name, content), scratch.path(&format!("{name}.restored")));
    let repo = scratch.repo();
    let backed = repo.backup(&source, &[&["--volume", name, "--id", name], args].concat());
    assert_eq!(backed.bytes_volume, content.len() as u64);
    assert_eq!(backed.blocks.total(), backed.bytes_volume.div_ceil(backed.block_bytes), "{name}: {:?}", backed.blocks);
    repo.restore(name, &target, &[]);
    assert_bytes(&target, content);
}

#[test]
fn a_new_file_takes_the_room_that_a_sparse_source_took() {
    for scratch in [Scratch::on_disk(), Scratch::in_memory()] {
        // Blocks of 1 MiB. In each, the last page of every 32 KiB was never written.
        let mut content = noise(9, 24 * MIB);
        content.chunks_mut(32 * KIB).for_each(|chunk| chunk[28 * KIB..].fill(0));
        let (repo, source, target) = (scratch.repo(), scratch.path("source"), scratch.path("restored"));
        write_sparse(&source, &content);
        File::open(&source).unwrap().sync_all().unwrap();
        repo.backup(&source, &["--volume", "vol", "--id", "sparse"]);
        repo.restore("sparse", &target, &[]);
        assert_bytes(&target, &content);
        let (took, takes) = (allocated_bytes(&source), allocated_bytes(&target));
        assert!(took < content.len() as u64 * 9 / 10, "the source takes {took} bytes: it is not sparse");
        assert!(takes <= took + took / 100, "the source takes {took} bytes, the restored file {takes}");
    }
}

fn sizes_around(block_bytes: usize) -> Vec<usize> {
    vec![0, 1, 511, 512, 4095, 4097, block_bytes - 1, block_bytes, block_bytes + 1, 7 * block_bytes + 12_345]
}

#[test]
fn every_size_in_blocks_of_64_kib() {
    let scratch = Scratch::on_disk();
    for bytes in sizes_around(64 * KIB) {
        let content = mixed(bytes as u64, bytes, 10_000);
        round_trip(&scratch, &format!("v{bytes}"), &content, &["--block-size", "64KiB"]);
    }
}

#[test]
fn every_size_in_blocks_of_1_mib_without_compression() {
    let scratch = Scratch::in_memory();
    for bytes in sizes_around(MIB) {
        let content = mixed(bytes as u64, bytes, 100_000);
        round_trip(&scratch, &format!("v{bytes}"), &content, &["--block-size", "1MiB", "--compression", "none"]);
    }
}

#[test]
fn every_size_in_blocks_of_4_mib() {
    let scratch = Scratch::on_disk();
    for bytes in sizes_around(4 * MIB).split_off(6) {
        let content = mixed(bytes as u64, bytes, 3 * MIB);
        round_trip(&scratch, &format!("v{bytes}"), &content, &["--block-size", "4MiB"]);
    }
}

#[test]
fn a_volume_that_fills_many_segments() {
    let scratch = Scratch::in_memory();
    let content = mixed(5, 40 * MIB + 77, 900_000);
    round_trip(&scratch, "long", &content, &["--block-size", "256KiB", "--segment-size", "1MiB", "--streams", "9"]);
    let segments = scratch.repo().objects().iter().filter(|key| key.contains("/segments/")).count();
    assert!(segments > 10, "only {segments} segments: a full one should end");
}

#[test]
fn compression_none_stores_blocks_as_they_are() {
    let scratch = Scratch::in_memory();
    let content = septet_tests::content::text(1, 3 * MIB);
    let source = scratch.file("text", &content);
    let stored = |id: &str, compression: &str| {
        scratch.repo().backup(&source, &["--id", id, "--full", "--compression", compression]).bytes_stored
    };
    let (packed, plain) = (stored("packed", "lz4"), stored("plain", "none"));
    assert!(packed < content.len() as u64 / 20 && plain >= content.len() as u64, "{packed} and {plain} bytes stored");
    scratch.repo().assert_restores("packed", &content);
    scratch.repo().assert_restores("plain", &content);
}

/// The small compressed blocks do not fill a part, and must leave space in the pools for the next blocks. Tested with
/// space for several blocks and for hardly more than one.
#[test]
fn a_volume_that_shrinks_to_next_to_nothing_does_not_stop_the_ring() {
    let content = vec![b'a'; 320 * MIB];
    for block_size in ["1MiB", "4MiB"] {
        let scratch = Scratch::in_memory();
        round_trip(&scratch, "volume", &content, &["--block-size", block_size, "--timeout", "20"]);
    }
}

/// Each piece is a separate command in the backup and in the restore: far more commands than a socket can hold.
#[test]
fn a_volume_in_thousands_of_pieces_does_not_stop_the_ring() {
    const PIECES: usize = 2000;
    const PIECE_BYTES: usize = 128 * KIB;
    let scratch = Scratch::on_disk();
    let source = scratch.hole("pieces", (PIECES * 2 * MIB) as u64);
    let file = File::options().write(true).open(&source).unwrap();
    let noise = noise(6, PIECES + PIECE_BYTES);
    let pieces = || (0..PIECES).map(|piece| ((piece * 2 * MIB) as u64, &noise[piece..piece + PIECE_BYTES]));
    pieces().for_each(|(offset, piece)| file.write_all_at(piece, offset).unwrap());
    let (repo, target) = (scratch.repo(), scratch.path("restored"));
    let backed = repo.backup(&source, &["--id", "pieces", "--timeout", "20"]);
    assert_eq!(backed.blocks.data, PIECES as u64, "{:?}", backed.blocks);
    repo.restore("pieces", &target, &["--timeout", "20"]);
    let (restored, mut found) = (File::open(&target).unwrap(), vec![0; PIECE_BYTES]);
    for (offset, piece) in pieces() {
        restored.read_exact_at(&mut found, offset).unwrap();
        assert!(found == piece, "at {offset}");
    }
}

#[test]
fn from_disk_to_memory_and_back() {
    let (disk, memory) = (Scratch::on_disk(), Scratch::in_memory());
    let content = mixed(9, 9 * MIB + 1, 300_000);
    for (id, source, repo, target) in
        [("a", &disk, &memory, &disk), ("b", &memory, &disk, &memory), ("c", &disk, &disk, &memory)]
    {
        let volume = source.file("volume", &content);
        repo.repo().backup(&volume, &["--id", id]);
        let restored = target.path(&format!("restored-{id}"));
        repo.repo().restore(id, &restored, &[]);
        assert_bytes(&restored, &content);
    }
}

#[test]
fn sparse_stays_sparse_and_is_never_read() {
    let scratch = Scratch::on_disk();
    let source = scratch.hole("sparse", 8 << 30);
    let file = File::options().write(true).open(&source).unwrap();
    for (gibibyte, seed) in [(0, 1), (3, 2), (7, 3)] {
        file.write_all_at(&noise(seed, MIB), (gibibyte << 30) + 5 * MIB as u64).unwrap();
    }
    let repo = scratch.repo();
    let backed = repo.backup(&source, &["--id", "sparse"]);
    assert_eq!((backed.blocks.data, backed.blocks.hole), (3, 8 * 1024 - 3), "{:?}", backed.blocks);
    assert_eq!(backed.bytes_read, 3 * MIB as u64);
    let target = scratch.path("restored");
    repo.restore("sparse", &target, &[]);
    assert_eq!(std::fs::metadata(&target).unwrap().len(), 8 << 30);
    // Only the blocks that are compared below take space.
    let (taken, expected) = (allocated_bytes(&target), allocated_bytes(&source));
    assert!(taken <= expected, "{taken} bytes allocated, and {expected} in the source");
    let restored = File::open(&target).unwrap();
    for (gibibyte, seed) in [(0, 1), (3, 2), (7, 3)] {
        let mut bytes = vec![0; 3 * MIB];
        restored.read_exact_at(&mut bytes, (gibibyte << 30) + 4 * MIB as u64).unwrap();
        assert!(bytes == [vec![0; MIB], noise(seed, MIB), vec![0; MIB]].concat(), "at {gibibyte} GiB");
    }
}

#[test]
fn zeros_that_take_space_are_found_and_come_back_as_holes() {
    let scratch = Scratch::on_disk();
    let source = scratch.file("zeros", &vec![0; 16 * MIB]);
    let backed = scratch.repo().backup(&source, &["--id", "zeros"]);
    assert_eq!(backed.blocks.zero + backed.blocks.hole, 16, "{:?}", backed.blocks);
    let target = scratch.path("restored");
    scratch.repo().restore("zeros", &target, &[]);
    assert_bytes(&target, &vec![0; 16 * MIB]);
    assert_eq!(allocated_bytes(&target), 0);
}

#[test]
fn over_an_existing_file_holes_are_really_zero() {
    for scratch in [Scratch::on_disk(), Scratch::in_memory()] {
        let content = mixed(11, 6 * MIB + 3, 90_000);
        let source = scratch.path("volume");
        write_sparse(&source, &content);
        let repo = scratch.repo();
        repo.backup_as("full", &source, &[]);
        for old_bytes in [content.len(), content.len() + 4321] {
            let target = scratch.file(&format!("old-{old_bytes}"), &vec![0xff; old_bytes]);
            repo.restore_command("full", &target).fails(1, "--overwrite");
            assert_bytes(&target, &vec![0xff; old_bytes]);
            repo.restore("full", &target, &["--overwrite"]);
            let restored = std::fs::read(&target).unwrap();
            assert!(restored[..content.len()] == content, "{old_bytes}");
            assert!(restored[content.len()..].iter().all(|byte| *byte == 0xff), "what lies beyond the volume stays");
        }
    }
}

fn over_a_device(sector_bytes: u32) {
    let scratch = Scratch::on_disk();
    let content = mixed(u64::from(sector_bytes), 24 * MIB, 150_000);
    let image = scratch.path("source");
    write_sparse(&image, &content);
    let source = LoopDevice::attach(&image, sector_bytes, &["--direct-io=on"]);
    let repo = scratch.repo();
    let backed = repo.backup(source.path(), &["--volume", "vol", "--id", "device", "--block-size", "64KiB"]);
    assert_eq!(backed.bytes_volume, content.len() as u64);
    // Larger than the volume and full of other data.
    let old = scratch.file("target", &vec![0xaa; content.len() + MIB]);
    let target = LoopDevice::attach(&old, sector_bytes, &["--direct-io=on"]);
    repo.restore_command("device", target.path()).fails(1, "--overwrite");
    repo.restore("device", target.path(), &["--overwrite"]);
    assert_bytes(target.path(), &[content.clone(), vec![0xaa; MIB]].concat());
    repo.assert_restores("device", &content);
}

#[test]
fn a_device_of_512_byte_sectors() {
    over_a_device(512);
}

#[test]
fn a_device_of_4096_byte_sectors() {
    over_a_device(4096);
}

/// Only the requested part is written, at its offset in the target.
fn restore_part(repo: &septet_tests::Repo, target: &Path, content: &[u8], offset: usize, length: usize) {
    std::fs::write(target, vec![0x55; content.len()]).unwrap();
    let (offset_text, length_text) = (offset.to_string(), length.to_string());
    let part = ["--overwrite", "--offset", &offset_text, "--length", &length_text];
    let summary = repo.restore("full", target, &part).summary();
    assert_eq!(summary["bytes_restored"], length as u64);
    let mut expected = vec![0x55; content.len()];
    expected[offset..offset + length].copy_from_slice(&content[offset..offset + length]);
    assert_bytes(target, &expected);
}

#[test]
fn parts_aligned_and_not() {
    for scratch in [Scratch::on_disk(), Scratch::in_memory()] {
        let content = mixed(21, 2 * MIB + 100, 80_000);
        let source = scratch.path("volume");
        write_sparse(&source, &content);
        let repo = scratch.repo();
        repo.backup_as("full", &source, &[]);
        let end = content.len();
        let mut parts = vec![
            (0, 0),
            (0, 1),
            (0, end),
            (end, 0),
            (end - 1, 1),
            (64 * KIB, 128 * KIB),
            (64 * KIB - 1, 2),
            (511, 4097),
        ];
        let mut rng = Rng::new(22);
        for _ in 0..8 {
            let offset = rng.below(end);
            parts.push((offset, rng.below(end - offset)));
        }
        for (offset, length) in parts {
            restore_part(&repo, &scratch.path("part"), &content, offset, length);
        }
    }
}

#[test]
fn a_part_to_a_new_file_lies_at_its_place() {
    let scratch = Scratch::on_disk();
    let content = noise(31, MIB);
    let source = scratch.file("volume", &content);
    let repo = scratch.repo();
    repo.backup_as("full", &source, &[]);
    let target = scratch.path("part");
    repo.restore("full", &target, &["--offset", "300001", "--length", "70000"]);
    let restored = std::fs::read(&target).unwrap();
    assert!(restored[300_001..370_001] == content[300_001..370_001]);
    assert!(restored[..300_001].iter().chain(&restored[370_001..]).all(|byte| *byte == 0));
}

#[test]
fn a_part_beyond_the_end_is_wrong_usage() {
    let scratch = Scratch::in_memory();
    let repo = scratch.repo();
    repo.backup_as("full", &scratch.file("volume", &[1; 1000]), &[]);
    let target = scratch.path("part");
    for (offset, length) in [("1001", "0"), ("1000", "1"), ("0", "1001"), ("1", "18446744073709551615")] {
        repo.restore_command("full", &target)
            .args(["--offset", offset, "--length", length])
            .fails(2, "beyond the volume's");
        assert!(!target.exists());
    }
}
