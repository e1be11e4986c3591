//! Reads any block of a backup and verifies it by its hash. A restore has its own pipeline. This reader is for callers
//! that need some blocks: a mounted backup, a comparison, a test.

use crate::{BlockIndex, Repository, Result};
use septet_format::{BlockHash, Codec, Location, Manifest, keys};

/// Reads blocks of one backup. Threads may share it.
pub struct BackupReader {
    repository: Repository,
    index: BlockIndex,
}

impl BackupReader {
    /// Opens a backup.
    pub fn open(repository: &Repository, manifest: Manifest) -> Result<Self> {
        Ok(BackupReader { repository: repository.clone(), index: BlockIndex::open(repository, manifest)? })
    }

    /// The index of the blocks' locations.
    pub fn index(&self) -> &BlockIndex {
        &self.index
    }

    /// Reads a block into `content`, with the block's length; `content` is empty beyond the volume's end. After an
    /// error `content` is undefined.
    pub fn read_block(&self, block: u64, content: &mut Vec<u8>) -> Result<()> {
        let block_bytes = self.index.geometry().len_bytes(block) as usize;
        content.clear();
        content.resize(block_bytes, 0);
        let Some((location, hash)) = self.index.locate(block)? else {
            return Ok(());
        };
        // `locate` returns only segments that the manifest names.
        let key = self.index.segment_key(location.segment).unwrap_or_default();
        let same = self.read_stored(&key, &location, content)? && BlockHash::of(content) == hash;
        self.repository.ensure(same, &key, "segment", || {
            let Manifest { volume, backup, .. } = self.index.manifest();
            let manifest = keys::backup_prefix(volume, backup);
            format!("block {block} of {manifest} at offset {} does not match its hash", location.offset_bytes)
        })
    }

    /// Reads and decodes a block. Returns false if it doesn't decode to the block's length.
    fn read_stored(&self, key: &str, location: &Location, content: &mut [u8]) -> Result<bool> {
        let store = self.repository.store();
        match location.codec {
            // `locate` checked the location: a raw block's stored length is its own length.
            Codec::Raw => store.read_at(key, location.offset_bytes, content)?,
            codec => {
                let mut stored = vec![0; location.stored_bytes as usize];
                store.read_at(key, location.offset_bytes, &mut stored)?;
                return Ok(codec.decode(&stored, content).is_ok());
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Extent;
    use crate::sample::{BLOCK_BYTES, Sample, content};
    use septet_format::TABLE_CHUNK_ENTRIES;

    #[test]
    fn every_block_of_every_backup_of_a_chain_comes_back() {
        let mut sample = Sample::new();
        sample.backup("b1", None, &[1, 2, 0, 0, 3, 4, 5]);
        sample.backup("b2", Some("b1"), &[1, 0, 6, 0, 3, 4, 7]);
        sample.backup("b3", Some("b2"), &[1, 8, 6, 0, 3, 9, 7]);
        sample.check("b1", &[1, 2, 0, 0, 3, 4, 5]);
        sample.check("b2", &[1, 0, 6, 0, 3, 4, 7]);
        sample.check("b3", &[1, 8, 6, 0, 3, 9, 7]);
        assert_eq!(sample.manifest("b3").sources.len(), 3);
    }

    #[test]
    fn extents_tile_the_volume_also_over_absent_chunks() {
        let mut sample = Sample::new();
        let chunk = TABLE_CHUNK_ENTRIES as usize;
        let mut seeds = vec![0; 3 * chunk + 5];
        for stored in [0, 1, chunk - 1, 2 * chunk, 3 * chunk + 4] {
            seeds[stored] = 2;
        }
        sample.backup("b1", None, &seeds);
        let index = BlockIndex::open(&sample.repository, sample.manifest("b1")).unwrap();
        let mut extents = Vec::new();
        while let Some(extent) = index.next_extent(extents.last().map_or(0, |last: &Extent| last.blocks.end)).unwrap() {
            extents.push(extent);
        }
        let (c, end) = (chunk as u64, 3 * chunk as u64 + 5);
        let cuts = [0..2, 2..c - 1, c - 1..c, c..2 * c, 2 * c..2 * c + 1, 2 * c + 1..end - 1, end - 1..end];
        let expected = cuts.into_iter().zip([true, false].into_iter().cycle());
        let expected: Vec<_> = expected.map(|(blocks, stored)| Extent { blocks, stored }).collect();
        assert_eq!(extents, expected);
        assert_eq!(index.next_extent(1).unwrap(), Some(Extent { blocks: 1..2, stored: true }));
        assert_eq!(index.next_extent(end).unwrap(), None);
    }

    #[test]
    fn an_empty_volume_has_no_extent_and_no_block() {
        let mut sample = Sample::new();
        sample.backup("b1", None, &[]);
        sample.check("b1", &[]);
        let index = BlockIndex::open(&sample.repository, sample.manifest("b1")).unwrap();
        assert_eq!(index.next_extent(0).unwrap(), None);
        assert_eq!(index.locate(u64::MAX).unwrap(), None);
        let reader = BackupReader::open(&sample.repository, sample.manifest("b1")).unwrap();
        let mut block = vec![1];
        reader.read_block(0, &mut block).unwrap();
        assert!(block.is_empty());
    }

    #[test]
    fn a_damaged_block_is_found_and_the_others_are_read() {
        for seed in [2, 3] {
            let mut sample = Sample::new();
            sample.backup("b1", None, &[seed, 4]);
            sample.flip("vol/b1/segments/000000", 5);
            let reader = BackupReader::open(&sample.repository, sample.manifest("b1")).unwrap();
            let mut block = Vec::new();
            let error = reader.read_block(0, &mut block).unwrap_err();
            assert!(error.is_damage() && error.to_string().contains("block 0 of vol/b1/"), "{error}");
            reader.read_block(1, &mut block).unwrap();
            assert!(block == content(4, BLOCK_BYTES - 100));
        }
    }

    #[test]
    fn a_segment_that_is_short_or_missing_is_damage() {
        let mut sample = Sample::new();
        sample.backup("b1", None, &[3, 5]);
        let reader = BackupReader::open(&sample.repository, sample.manifest("b1")).unwrap();
        sample.truncate("vol/b1/segments/000000", 1000);
        assert!(reader.read_block(0, &mut Vec::new()).unwrap_err().is_damage());
        sample.remove("vol/b1/segments/000000");
        assert!(reader.read_block(1, &mut Vec::new()).unwrap_err().is_damage());
    }

    #[test]
    fn tables_of_another_backup_are_refused_at_opening() {
        for table in ["map-0", "checksums-0"] {
            let mut sample = Sample::new();
            sample.backup("b1", None, &[1, 3]);
            sample.backup("b2", None, &[2, 7]);
            sample.copy(&format!("vol/b1/{table}"), &format!("vol/b2/{table}"));
            let error = BackupReader::open(&sample.repository, sample.manifest("b2")).err().unwrap();
            assert!(error.is_damage() && error.to_string().contains(&format!("vol/b2/{table}")), "{error}");
        }
    }

    #[test]
    fn threads_share_a_reader() {
        let mut sample = Sample::new();
        let seeds: Vec<u8> = (1..=40).collect();
        sample.backup("b1", None, &seeds);
        let reader = BackupReader::open(&sample.repository, sample.manifest("b1")).unwrap();
        std::thread::scope(|scope| {
            for shift in 0..4 {
                let (reader, seeds) = (&reader, &seeds);
                scope.spawn(move || {
                    let mut block = Vec::new();
                    for number in (0..39).map(|number| (number + shift * 10) % 39) {
                        reader.read_block(number, &mut block).unwrap();
                        assert!(block == content(seeds[usize::try_from(number).unwrap()], BLOCK_BYTES));
                    }
                });
            }
        });
    }
}
