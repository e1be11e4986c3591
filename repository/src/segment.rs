//! Reads the index at the end of a segment.

use crate::{Repository, Result};
use septet_format::{BackupId, Footer, SegmentIndex, SegmentRef, SourceBackup, VolumeName, keys};

/// The first read from a segment's end. Most indexes fit, so they take one request.
const TAIL_BYTES: u64 = 64 << 10;

/// The maximum length of an index: that of a segment of 16 GiB full of blocks of 4 KiB.
const INDEX_BYTES_MAX: u64 = 256 << 20;

impl Repository {
    /// The index of a segment that a manifest names. It must be exactly the named one.
    pub fn segment_index(&self, source: &SourceBackup, segment: &SegmentRef) -> Result<SegmentIndex> {
        let (index, _) = self.read_index(source, segment.number, segment.bytes, |footer| {
            (footer.hash != segment.hash).then_some("its index is not the one that the manifest names")
        })?;
        Ok(index)
    }

    /// The index of a segment without a manifest, and what a manifest would state about the segment, with no live
    /// bytes. The index must be whole and belong to this segment.
    pub fn unknown_segment_index(
        &self,
        volume: &VolumeName,
        backup: &BackupId,
        number: u32,
    ) -> Result<(SegmentIndex, SegmentRef)> {
        let bytes = self.store().len(&keys::segment(volume, backup, number))?;
        let (volume, backup) = (volume.clone(), backup.clone());
        let source = SourceBackup { repository: self.id(), volume, backup, segments: Vec::new() };
        let (index, footer) = self.read_index(&source, number, bytes, |_| None)?;
        Ok((index, SegmentRef { number, bytes, hash: footer.hash, live_bytes: 0 }))
    }

    fn read_index(
        &self,
        source: &SourceBackup,
        number: u32,
        bytes: u64,
        refuse: impl FnOnce(&Footer) -> Option<&'static str>,
    ) -> Result<(SegmentIndex, Footer)> {
        let SourceBackup { repository, volume, backup, .. } = source;
        let key = keys::segment(volume, backup, number);
        let mut tail = vec![0; usize::try_from(bytes.min(TAIL_BYTES)).unwrap_or(0)];
        self.store().read_at(&key, bytes - tail.len() as u64, &mut tail)?;
        let footer = tail.last_chunk().ok_or_else(|| self.damaged(&key, "segment", "it is truncated"))?;
        let footer = Footer::decode(footer, bytes).map_err(|cause| self.inner_object_error(&key, cause))?;
        if let Some(why) = refuse(&footer) {
            return Err(self.damaged(&key, "segment", why));
        }
        self.ensure(footer.index_bytes <= INDEX_BYTES_MAX, &key, "segment", || {
            format!("its index has {} bytes", footer.index_bytes)
        })?;
        self.complete_tail(&key, bytes, footer.index_offset_bytes, &mut tail)?;
        let (index, footer) =
            SegmentIndex::decode_tail(&tail, bytes).map_err(|cause| self.inner_object_error(&key, cause))?;
        let names = (&index.volume, &index.backup, index.number);
        let ours = index.repository == *repository && names == (volume, backup, number);
        self.ensure(ours, &key, "segment", || {
            format!("it belongs to {} of the repository {}", keys::segment(names.0, names.1, names.2), index.repository)
        })?;
        Ok((index, footer))
    }

    /// Extends `tail`, the end of the segment, so that it begins with the index.
    fn complete_tail(&self, key: &str, bytes: u64, index_offset_bytes: u64, tail: &mut Vec<u8>) -> Result<()> {
        let wanted = usize::try_from(bytes - index_offset_bytes).unwrap_or(usize::MAX);
        if let Some(surplus) = tail.len().checked_sub(wanted) {
            tail.drain(..surplus);
            return Ok(());
        }
        tail.resize(wanted, 0);
        Ok(self.store().read_at(key, index_offset_bytes, tail)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    fn index(sample: &Sample, row: usize) -> Result<SegmentIndex> {
        let manifest = sample.manifest("b1");
        let source = &manifest.sources[0];
        sample.repository.segment_index(source, &source.segments[row])
    }

    #[test]
    fn a_segment_says_whose_blocks_it_holds() {
        let mut sample = Sample::new();
        let manifest = sample.backup("b1", None, &[1, 0, 2, 3]);
        let of = |row| index(&sample, row).unwrap().entries.iter().map(|entry| entry.block).collect::<Vec<_>>();
        assert_eq!((of(0), of(1)), (vec![0, 2], vec![3]));
        let named = manifest.sources[0].segments[1];
        let (unknown, found) = sample.repository.unknown_segment_index(&manifest.volume, &manifest.backup, 1).unwrap();
        assert_eq!(unknown, index(&sample, 1).unwrap());
        assert_eq!(found, SegmentRef { live_bytes: 0, ..named });
    }

    #[test]
    fn an_index_longer_than_the_first_read_is_read() {
        let mut sample = Sample::new();
        sample.blocks_per_segment = 3000;
        sample.backup("b1", None, &[2; 2500]);
        assert_eq!(index(&sample, 0).unwrap().entries.len(), 2500);
    }

    #[test]
    fn damage_of_the_index_is_found() {
        let mut sample = Sample::new();
        sample.backup("b1", None, &[2, 4, 6]);
        let key = "vol/b1/segments/000000";
        let bytes = sample.read(key).len();
        for at in bytes - 4096..bytes {
            sample.flip(key, at);
            let error = index(&sample, 0).unwrap_err();
            assert!(error.is_damage() && error.to_string().contains(key), "byte {at}: {error}");
            sample.flip(key, at);
        }
        index(&sample, 0).unwrap();
        sample.truncate(key, 4096);
        assert!(index(&sample, 0).unwrap_err().is_damage());
        sample.truncate(key, 10);
        let (volume, backup) = ("vol".parse().unwrap(), "b1".parse().unwrap());
        assert!(sample.repository.unknown_segment_index(&volume, &backup, 0).unwrap_err().is_damage());
        sample.remove(key);
        assert!(index(&sample, 0).unwrap_err().is_damage());
    }

    #[test]
    fn another_segment_in_its_place_is_found() {
        let mut sample = Sample::new();
        sample.backup("b1", None, &[2, 4, 6]);
        sample.backup("b2", None, &[2, 4, 6]);
        sample.copy("vol/b2/segments/000000", "vol/b1/segments/000000");
        sample.copy("vol/b2/segments/000001", "vol/b2/segments/000000");
        assert!(index(&sample, 0).unwrap_err().is_damage());
        let unknown = |backup: &str| {
            let (volume, backup) = ("vol".parse().unwrap(), backup.parse().unwrap());
            sample.repository.unknown_segment_index(&volume, &backup, 0).unwrap_err().to_string()
        };
        assert!(unknown("b1").contains("it belongs to vol/b2/segments/000000"), "{}", unknown("b1"));
        assert!(unknown("b2").contains("it belongs to vol/b2/segments/000001"), "{}", unknown("b2"));
    }
}
