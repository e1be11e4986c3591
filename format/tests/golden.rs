//! Tests that this version still reads the golden repository, and writes the same bytes.
//!
//! `tests/golden/repo` is a whole tiny repository in format 1. It never changes. A new format gets a new repository
//! beside it. If a new lz4_flex compresses differently, only `the_same_bytes_are_written_again` may be relaxed, to
//! ignore compressed bytes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)]

mod common;

use std::fs;
use std::sync::LazyLock;

use common::{Objects, build, contents, geometry, golden, image, volume};
use septet_format::*;

/// The committed repository. `SEPTET_GOLDEN=write` writes it again, for a new format only.
fn committed() -> &'static Objects {
    static OBJECTS: LazyLock<Objects> = LazyLock::new(read);
    &OBJECTS
}

fn read() -> Objects {
    let write = std::env::var_os("SEPTET_GOLDEN").is_some_and(|v| v == "write");
    let mut objects = build();
    for (key, object) in &mut objects {
        let path = golden().join("repo").join(key);
        if write {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &*object).unwrap();
        }
        *object = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    objects
}

#[test]
fn the_same_bytes_are_written_again() {
    let committed = committed();
    for (key, object) in build() {
        assert!(object == committed[&key], "{key} is not the same");
        assert!(keys::parse(&key).is_some(), "{key} is no key");
    }
}

/// All entries of a small table.
fn entries<const N: usize>(object: &[u8], expected: &TableRef) -> Vec<[u8; N]> {
    assert_eq!(object.len() as u64, expected.bytes);
    let table = TableDirectory::decode_object(object, N as u32, geometry().blocks(), expected.root).unwrap();
    let range = table.range(0).unwrap();
    let chunk = table.decode_chunk(0, &object[range.start as usize..range.end as usize]).unwrap();
    chunk.as_chunks().0.to_vec()
}

#[test]
fn the_golden_repository_restores() {
    let objects = committed();
    let info = RepositoryInfo::decode(&objects[&keys::repository()]).unwrap();
    for (backup, blocks) in contents() {
        let manifest = Manifest::decode(&objects[&keys::manifest(&volume(), &backup, 0)]).unwrap();
        assert_eq!((manifest.repository, manifest.geometry().unwrap()), (info.id, geometry()));
        let rows: Vec<_> = manifest.segment_rows().collect();
        let map = entries::<12>(&objects[&manifest.map_key()], &manifest.map);
        let hashes = entries::<32>(&objects[&manifest.checksums_key()], &manifest.checksums);
        let mut restored = Vec::new();
        for (block, (entry, hash)) in (0..).zip(map.iter().zip(hashes)) {
            let len = geometry().len_bytes(block);
            let mut content = vec![0; len as usize];
            if let Some(location) = Location::decode(entry).unwrap() {
                let (_, source, segment) = rows[location.segment as usize];
                location.check(len, segment.bytes).unwrap();
                let object = &objects[&source.segment_key(segment)];
                let stored = &object[location.offset_bytes as usize..][..location.stored_bytes as usize];
                location.codec.decode(stored, &mut content).unwrap();
                assert_eq!(BlockHash::of(&content), BlockHash::from(hash), "block {block}");
            }
            restored.extend(content);
        }
        assert!(restored == image(&blocks), "backup {backup}");
    }
}

#[test]
fn the_golden_tombstone_is_one() {
    let bytes = &committed()["vol/b0/manifest-1.json"];
    let Record::Tombstone(tombstone) = Record::decode(bytes).unwrap() else { panic!("a backup") };
    assert_eq!((tombstone.key().as_str(), tombstone.reason), ("vol/b0/manifest-1.json", TombstoneReason::Deleted));
    assert!(Manifest::decode(bytes).is_err());
}

#[test]
fn every_segment_vouches_for_each_of_its_bytes() {
    for (key, object) in committed() {
        let Some(Key::Segment { volume, backup, number }) = keys::parse(key) else { continue };
        let footer = Footer::decode(object.last_chunk().unwrap(), object.len() as u64).unwrap();
        let tail = &object[footer.index_offset_bytes as usize..];
        let (index, _) = SegmentIndex::decode_tail(tail, object.len() as u64).unwrap();
        assert_eq!((&index.volume, &index.backup, index.number), (&volume, &backup, number));
        let mut end = 0;
        for entry in &index.entries {
            assert_eq!(entry.offset_bytes, end, "a gap that nobody checks");
            end = entry.end_bytes();
            entry.check_stored(&object[entry.offset_bytes as usize..end as usize]).unwrap();
        }
        assert_eq!(end, footer.index_offset_bytes);
    }
}
