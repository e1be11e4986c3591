//! A small real repository for tests: it makes backups by hand and damages them.

use crate::{BackupReader, BlockIndex, Repository};
use jiff::Timestamp;
use septet_format::{
    BackupId, BlockCounts, BlockHash, Codec, Features, Geometry, IndexEntry, Location, Machine, Manifest, STORE_ALIGN,
    SegmentIndex, SegmentRef, Source, SourceBackup, TableRef, VolumeName, crc32, encode_table, keys, padded,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tempfile::TempDir;

/// The block size of the samples. The last block of a volume is 100 bytes shorter.
pub(crate) const BLOCK_BYTES: usize = 64 << 10;

/// A block's content: zeros for seed 0, compressible for other even seeds, incompressible for odd seeds.
pub(crate) fn content(seed: u8, bytes: usize) -> Vec<u8> {
    let mut content = vec![seed; bytes];
    if seed % 2 == 1 {
        blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut content);
    }
    content
}

/// A repository in a temporary directory.
pub(crate) struct Sample {
    folder: TempDir,
    pub(crate) repository: Repository,
    pub(crate) volume: VolumeName,
    pub(crate) blocks_per_segment: usize,
}

/// A block's location, independent of the rows of the manifest.
#[derive(Clone)]
struct Place {
    backup: BackupId,
    segment: SegmentRef,
    location: Location,
}

impl Sample {
    pub(crate) fn new() -> Self {
        // In memory, because damage is done byte by byte.
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let repository = Repository::open_or_create(folder.path().to_str().unwrap()).unwrap();
        Sample { folder, repository, volume: "vol".parse().unwrap(), blocks_per_segment: 2 }
    }

    pub(crate) fn manifest(&self, backup: &str) -> Manifest {
        self.repository.manifest(&self.volume, &backup.parse().unwrap()).unwrap()
    }

    /// Makes a backup of a volume. Each seed gives the content of a block.
    pub(crate) fn backup(&mut self, backup: &str, parent: Option<&str>, seeds: &[u8]) -> Manifest {
        let backup: BackupId = backup.parse().unwrap();
        let volume_bytes = (seeds.len() * BLOCK_BYTES).saturating_sub(100);
        let geometry = Geometry::new(volume_bytes as u64, u32::try_from(BLOCK_BYTES).unwrap()).unwrap();
        let parent = parent.map(|id| BlockIndex::open(&self.repository, self.manifest(id)).unwrap());
        let mut hashes = vec![BlockHash::ZERO; seeds.len()];
        let mut places: Vec<Option<Place>> = vec![None; seeds.len()];
        let mut changed = Vec::new();
        for (block, seed) in seeds.iter().enumerate().filter(|(_, seed)| **seed != 0) {
            let content = content(*seed, geometry.len_bytes(block as u64) as usize);
            hashes[block] = BlockHash::of(&content);
            places[block] = parent.as_ref().and_then(|parent| unchanged(parent, block as u64, hashes[block]));
            if places[block].is_none() {
                changed.push((block, content));
            }
        }
        for (number, blocks) in (0..).zip(changed.chunks(self.blocks_per_segment)) {
            self.write_segment(&backup, number, &geometry, blocks, &mut places);
        }
        let data = changed.len() as u64;
        let stored = hashes.iter().filter(|hash| !hash.is_zero()).count() as u64;
        let hole = seeds.len() as u64 - stored;
        let blocks = BlockCounts { data, hole, unchanged: stored - data, zero: 0 };
        let parent = parent.map(|parent| parent.manifest().backup.clone());
        let manifest = Manifest { blocks, parent, ..self.empty_manifest(backup, &geometry) };
        self.commit(manifest, &hashes, &places)
    }

    fn write_segment(
        &self,
        backup: &BackupId,
        number: u32,
        geometry: &Geometry,
        blocks: &[(usize, Vec<u8>)],
        places: &mut [Option<Place>],
    ) {
        let (mut object, mut entries) = (Vec::new(), Vec::new());
        for (block, content) in blocks {
            let packed = lz4_flex::block::compress(content);
            let (codec, stored) =
                if packed.len() < content.len() { (Codec::Lz4, &packed) } else { (Codec::Raw, content) };
            let (offset_bytes, stored_bytes) = (object.len() as u64, u32::try_from(stored.len()).unwrap());
            let hash = BlockHash::of(content);
            entries.push(IndexEntry {
                block: *block as u64,
                hash,
                offset_bytes,
                stored_bytes,
                codec,
                crc32: if codec == Codec::Raw { 0 } else { crc32(stored) },
            });
            object.extend_from_slice(stored);
            object.resize(usize::try_from(offset_bytes + padded(stored_bytes)).unwrap(), 0);
        }
        let (repository, volume) = (self.repository.id(), self.volume.clone());
        let index = SegmentIndex {
            repository,
            volume,
            backup: backup.clone(),
            number,
            geometry: *geometry,
            align_bytes: STORE_ALIGN,
            entries: entries.clone(),
        };
        let (tail, hash) = index.encode(object.len() as u64);
        object.extend_from_slice(&tail);
        let segment = SegmentRef { number, bytes: object.len() as u64, hash, live_bytes: 4096 };
        for IndexEntry { block, offset_bytes, stored_bytes, codec, .. } in entries {
            let location = Location { segment: 0, offset_bytes, stored_bytes, codec };
            places[usize::try_from(block).unwrap()] = Some(Place { backup: backup.clone(), segment, location });
        }
        let upload = self.repository.store().upload(&keys::segment(&self.volume, backup, number)).unwrap();
        upload.put_part(0, 0, vec![object.into()]).unwrap();
        upload.finish().unwrap();
    }

    fn commit(&self, mut manifest: Manifest, hashes: &[BlockHash], places: &[Option<Place>]) -> Manifest {
        let mut segments: BTreeMap<(bool, BackupId), BTreeMap<u32, SegmentRef>> = BTreeMap::new();
        for place in places.iter().flatten() {
            let source = segments.entry((place.backup == manifest.backup, place.backup.clone())).or_default();
            source.insert(place.segment.number, place.segment);
        }
        let source = |((_, backup), segments): ((bool, BackupId), BTreeMap<u32, SegmentRef>)| SourceBackup {
            repository: self.repository.id(),
            volume: self.volume.clone(),
            backup,
            segments: segments.into_values().collect(),
        };
        manifest.sources = segments.into_iter().map(source).collect();
        let row = |place: &Place| {
            let is = |backup: &BackupId, number| (backup, number) == (&place.backup, place.segment.number);
            let found = manifest.segment_rows().find(|(_, source, segment)| is(&source.backup, segment.number));
            Location { segment: found.unwrap().0, ..place.location }
        };
        let locations: Vec<_> = places.iter().map(|place| Location::encode(place.as_ref().map(row).as_ref())).collect();
        let hashes: Vec<_> = hashes.iter().map(|hash| *hash.as_bytes()).collect();
        manifest.map = self.write_table(&manifest.map_key(), &locations);
        manifest.checksums = self.write_table(&manifest.checksums_key(), &hashes);
        self.repository.commit(&manifest).unwrap();
        manifest
    }

    fn write_table<const BYTES: usize>(&self, key: &str, entries: &[[u8; BYTES]]) -> TableRef {
        let packed = entries.concat();
        let read = |first: u64, memory: &mut [u8]| {
            let at = usize::try_from(first).unwrap() * BYTES;
            memory.copy_from_slice(&packed[at..at + memory.len()]);
            Ok(())
        };
        let table = encode_table(u32::try_from(BYTES).unwrap(), entries.len() as u64, read).unwrap();
        let reference = table.reference(0);
        self.repository.store().put(key, table.object.into()).unwrap();
        reference
    }

    fn empty_manifest(&self, backup: BackupId, geometry: &Geometry) -> Manifest {
        Manifest {
            repository: self.repository.id(),
            volume: self.volume.clone(),
            backup,
            sequence: self.repository.backups(&self.volume).unwrap().next_sequence(),
            volume_bytes: geometry.volume_bytes(),
            block_bytes: geometry.block_bytes(),
            ..manifest("none", &[])
        }
    }

    /// Reads the whole backup and compares it with the contents of these seeds.
    pub(crate) fn check(&self, backup: &str, seeds: &[u8]) {
        let reader = BackupReader::open(&self.repository, self.manifest(backup)).unwrap();
        let mut block = Vec::new();
        for (number, seed) in (0..).zip(seeds) {
            reader.read_block(number, &mut block).unwrap();
            let bytes = reader.index().geometry().len_bytes(number) as usize;
            assert!(block == content(*seed, bytes), "block {number} of {backup}");
        }
        assert_eq!(reader.index().geometry().blocks(), seeds.len() as u64);
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.path().join(key)
    }

    /// All keys of the volume.
    pub(crate) fn keys(&self) -> Vec<String> {
        let objects = self.repository.store().list(&keys::volume_prefix(&self.volume)).unwrap();
        objects.into_iter().map(|object| object.key).collect()
    }

    /// Whether the file exists; with an empty name, whether the directory exists.
    pub(crate) fn has(&self, name: &str, folder: &str) -> bool {
        self.path(folder).join(name).exists()
    }

    pub(crate) fn read(&self, key: &str) -> Vec<u8> {
        std::fs::read(self.path(key)).unwrap()
    }

    pub(crate) fn write(&self, key: &str, content: &[u8]) {
        let path = self.path(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn flip(&self, key: &str, at: usize) {
        let mut content = self.read(key);
        content[at] ^= 0x10;
        std::fs::write(self.path(key), content).unwrap();
    }

    pub(crate) fn truncate(&self, key: &str, bytes: usize) {
        std::fs::write(self.path(key), &self.read(key)[..bytes]).unwrap();
    }

    pub(crate) fn remove(&self, key: &str) {
        self.repository.store().delete(&[key.to_owned()]).unwrap();
    }

    /// Deletes a backup, and removes what no backup needs any more.
    pub(crate) fn delete(&self, backup: &str) {
        let deleted = crate::reclaim::delete(&self.repository, &self.volume, &backup.parse().unwrap()).unwrap();
        crate::reclaim::run(&self.repository, &self.volume, deleted.as_slice()).unwrap();
    }

    /// Makes all objects older by the store's clock.
    pub(crate) fn let_hours_pass(&self, hours: u64) {
        for key in self.keys() {
            let file = std::fs::File::options().write(true).open(self.path(&key)).unwrap();
            let before = file.metadata().unwrap().modified().unwrap();
            file.set_modified(before - std::time::Duration::from_secs(hours * 60 * 60)).unwrap();
        }
    }

    pub(crate) fn copy(&self, from: &str, to: &str) {
        self.repository.store().put(to, self.read(from).into()).unwrap();
    }
}

/// The place of this block's content in the parent, if the parent has the same content there.
fn unchanged(parent: &BlockIndex, block: u64, hash: BlockHash) -> Option<Place> {
    let (location, _) = parent.locate(block).unwrap().filter(|(_, theirs)| *theirs == hash)?;
    let mut rows = parent.manifest().segment_rows();
    let (_, source, segment) = rows.find(|(row, _, _)| *row == location.segment)?;
    Some(Place { backup: source.backup.clone(), segment: *segment, location })
}

/// A manifest of an empty volume `vol`, whose sources have one segment each.
pub(crate) fn manifest(backup: &str, sources: &[&str]) -> Manifest {
    let nothing = TableRef { generation: 0, bytes: 0, root: BlockHash::ZERO };
    let segment = SegmentRef { number: 0, bytes: 8192, hash: BlockHash::ZERO, live_bytes: 4096 };
    let volume: VolumeName = "vol".parse().unwrap();
    let source = |backup: &&str| SourceBackup {
        repository: uuid::Uuid::from_u128(7),
        volume: volume.clone(),
        backup: backup.parse().unwrap(),
        segments: vec![segment],
    };
    Manifest {
        format: septet_format::FORMAT_VERSION,
        needs_to_read: Features::of_this_version(),
        needs_to_write: Features::of_this_version(),
        repository: uuid::Uuid::from_u128(7),
        volume: volume.clone(),
        backup: backup.parse().unwrap(),
        generation: 0,
        parent: None,
        sequence: 1,
        created: Timestamp::UNIX_EPOCH,
        machine: Machine::default(),
        source: Source { name: "sample".to_owned(), ..Source::default() },
        tool: "test".to_owned(),
        volume_bytes: 0,
        block_bytes: septet_format::BLOCK_BYTES_DEFAULT,
        compression: "lz4".to_owned(),
        hash: "blake3".to_owned(),
        blocks: BlockCounts::default(),
        bytes_read: 0,
        bytes_stored: 0,
        seconds: 0.0,
        checksums: nothing,
        map: nothing,
        sources: sources.iter().map(source).collect(),
        tracking: None,
        extensions: BTreeMap::new(),
    }
}
