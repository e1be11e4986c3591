//! A tiny repository, built with the crate: one volume, a full backup and an incremental one.
//!
//! Its blocks cover every case: LZ4, raw, short, hole, zeros, unchanged and changed.

#![allow(dead_code)] // Each test uses its part of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use septet_format::*;
use uuid::Uuid;

/// The volume: three whole blocks of 64 KiB and a short one.
pub(crate) const VOLUME_BYTES: u64 = 3 * 65536 + 1000;
const BLOCK_BYTES: u32 = 65536;
const REPOSITORY: Uuid = Uuid::from_u128(0x0123_4567_89ab_4def_8123_4567_89ab_cdef);

/// All objects by key.
pub(crate) type Objects = BTreeMap<String, Vec<u8>>;

/// The directory of the golden repository.
pub(crate) fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

pub(crate) fn volume() -> VolumeName {
    "vol".parse().unwrap()
}

pub(crate) fn geometry() -> Geometry {
    Geometry::new(VOLUME_BYTES, BLOCK_BYTES).unwrap()
}

/// The content of the volume at each backup, block by block. `None` reads as zeros.
pub(crate) fn contents() -> [(BackupId, Vec<Option<Vec<u8>>>); 2] {
    let text = |line: &str| Some(line.bytes().cycle().take(65536).collect::<Vec<u8>>());
    let mut noise = vec![0; 1000];
    blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut noise);
    let (first, second) = (text("the first block\n"), text("changed since\n"));
    [
        ("b1".parse().unwrap(), vec![first.clone(), None, None, Some(noise.clone())]),
        ("b2".parse().unwrap(), vec![first, second, None, Some(noise)]),
    ]
}

/// The bytes of the volume at a backup.
pub(crate) fn image(blocks: &[Option<Vec<u8>>]) -> Vec<u8> {
    let block = |(n, content): (u64, &Option<Vec<u8>>)| {
        content.clone().unwrap_or_else(|| vec![0; geometry().len_bytes(n) as usize])
    };
    (0..).zip(blocks).flat_map(block).collect()
}

fn hash_of(content: &Option<Vec<u8>>) -> BlockHash {
    content.as_deref().map_or(BlockHash::ZERO, BlockHash::of)
}

/// One segment with the given blocks, in reverse order, as if the last block was finished first.
fn segment(backup: &BackupId, blocks: &[(u64, &[u8])]) -> (Vec<u8>, SegmentIndex, BlockHash) {
    let (mut object, mut entries) = (Vec::new(), Vec::new());
    for (block, content) in blocks.iter().rev() {
        let packed = lz4_flex::block::compress(content);
        let raw = packed.len() >= content.len();
        let (codec, stored) = if raw { (Codec::Raw, *content) } else { (Codec::Lz4, &packed[..]) };
        let stored_bytes = stored.len() as u32;
        let (hash, offset_bytes) = (BlockHash::of(content), object.len() as u64);
        entries.push(IndexEntry {
            block: *block,
            hash,
            offset_bytes,
            stored_bytes,
            codec,
            crc32: if codec == Codec::Raw { 0 } else { crc32(stored) },
        });
        object.extend_from_slice(stored);
        object.resize(object.len() + (padded(stored_bytes) - u64::from(stored_bytes)) as usize, 0);
    }
    let backup = backup.clone();
    let index = SegmentIndex {
        repository: REPOSITORY,
        volume: volume(),
        backup,
        number: 0,
        geometry: geometry(),
        align_bytes: STORE_ALIGN,
        entries,
    };
    let (tail, hash) = index.encode(object.len() as u64);
    object.extend(tail);
    (object, index, hash)
}

fn table<const N: usize>(entries: &[[u8; N]]) -> EncodedTable {
    let read = |first: u64, memory: &mut [u8]| {
        let all = entries[first as usize..].as_flattened();
        memory.copy_from_slice(&all[..memory.len()]);
        Ok(())
    };
    encode_table(N as u32, entries.len() as u64, read).unwrap()
}

fn machine() -> Machine {
    Machine { id: "8f1c2d3e4f5061728394a5b6c7d8e9f0".to_owned(), name: "host1".to_owned() }
}

fn made() -> jiff::Timestamp {
    "2026-11-21T23:37:03Z".parse().unwrap()
}

/// The tombstone of a deleted backup.
fn tombstone() -> Tombstone {
    let by = Process {
        machine: machine(),
        boot: "0b1d2f3a-4c5e-4f60-8a9b-c0d1e2f3a4b5".to_owned(),
        pid_namespace: "pid:[4026531836]".to_owned(),
        pid: 4711,
        process_start: 123_456,
    };
    let name = (volume(), "b0".parse().unwrap(), 1);
    Tombstone::new(REPOSITORY, name, TombstoneReason::Deleted, by, made(), "septet 0.1.0")
}

/// A manifest that names no objects yet.
fn manifest(sequence: u64, backup: &BackupId, data: u64) -> Manifest {
    let nothing = TableRef { generation: 0, bytes: 0, root: BlockHash::ZERO };
    Manifest {
        format: FORMAT_VERSION,
        needs_to_read: Features::of_this_version(),
        needs_to_write: Features::of_this_version(),
        repository: REPOSITORY,
        volume: volume(),
        backup: backup.clone(),
        generation: 0,
        parent: None,
        sequence,
        created: made(),
        machine: machine(),
        source: Source {
            name: "/dev/vg/vol".to_owned(),
            kind: "device".to_owned(),
            identity: "dm LVM-8kQ0vJ1d".to_owned(),
        },
        tool: "septet 0.1.0".to_owned(),
        volume_bytes: VOLUME_BYTES,
        block_bytes: BLOCK_BYTES,
        compression: "lz4".to_owned(),
        hash: "blake3".to_owned(),
        blocks: match sequence {
            1 => BlockCounts { data, zero: 1, hole: 1, unchanged: 0 },
            _ => BlockCounts { data, zero: 0, hole: 1, unchanged: 2 },
        },
        bytes_read: VOLUME_BYTES - 65536,
        bytes_stored: 0,
        seconds: 0.5,
        checksums: nothing,
        map: nothing,
        sources: Vec::new(),
        tracking: None,
        extensions: BTreeMap::new(),
    }
}

/// Builds the repository.
pub(crate) fn build() -> Objects {
    let info = RepositoryInfo::new(REPOSITORY, made(), "septet 0.1.0");
    let mut objects = Objects::from([(keys::repository(), info.encode())]);
    let tombstone = tombstone();
    objects.insert(tombstone.key(), tombstone.encode());
    let mut locations: Vec<(BlockHash, Option<Location>)> = vec![(BlockHash::ZERO, None); 4];
    let mut sources: Vec<SourceBackup> = Vec::new();
    let mut parent = None;
    for (sequence, (backup, blocks)) in (1..).zip(contents()) {
        let is_new = |n: &usize| blocks[*n].is_some() && hash_of(&blocks[*n]) != locations[*n].0;
        let new: Vec<(u64, &[u8])> = (0..4).filter(is_new).map(|n| (n as u64, blocks[n].as_deref().unwrap())).collect();
        let (object, index, hash) = segment(&backup, &new);
        let row = sources.len() as u32;
        for IndexEntry { block, hash, offset_bytes, stored_bytes, codec, .. } in &index.entries {
            let location =
                Location { segment: row, offset_bytes: *offset_bytes, stored_bytes: *stored_bytes, codec: *codec };
            locations[*block as usize] = (*hash, Some(location));
        }
        let checksums = table(&blocks.iter().map(|b| *hash_of(b).as_bytes()).collect::<Vec<_>>());
        let map = table(&locations.iter().map(|(_, l)| Location::encode(l.as_ref())).collect::<Vec<_>>());
        let live_bytes = index.entries.iter().map(|e| padded(e.stored_bytes)).sum();
        let rows = vec![SegmentRef { number: 0, bytes: object.len() as u64, hash, live_bytes }];
        sources.push(SourceBackup { repository: REPOSITORY, volume: volume(), backup: backup.clone(), segments: rows });
        let mut manifest = manifest(sequence, &backup, new.len() as u64);
        manifest.parent = parent.replace(backup.clone());
        manifest.bytes_stored = (object.len() + checksums.object.len() + map.object.len()) as u64;
        (manifest.checksums, manifest.map) = (checksums.reference(0), map.reference(0));
        manifest.sources = sources.clone();
        manifest.check().unwrap();
        objects.insert(keys::segment(&volume(), &backup, 0), object);
        objects.insert(manifest.checksums_key(), checksums.object);
        objects.insert(manifest.map_key(), map.object);
        objects.insert(manifest.key(), manifest.encode());
    }
    objects
}
