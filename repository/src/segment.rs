//! Reading the index at a segment's end.

use crate::{Repository, Result};
use septet_format::{BackupId, FOOTER_BYTES, Footer, SegmentIndex, SegmentRef, VolumeName, keys};

/// What is read of a segment's end at first: most indexes fit, so that it takes one request.
const TAIL_BYTES: u64 = 64 << 10;

/// The longest index that is read: that of a segment of 16 GiB full of blocks of 4 KiB.
const INDEX_BYTES_MAX: u64 = 256 << 20;

impl Repository {
    /// The index of a segment that a manifest names: it must be the very one.
    pub fn segment_index(
        &self,
        volume: &VolumeName,
        backup: &BackupId,
        segment: &SegmentRef,
    ) -> Result<SegmentIndex> {
        let (index, _) = self.read_index(volume, backup, segment.number, segment.bytes, |footer| {
            (footer.hash != segment.hash).then_some("its index is not the one that the manifest names")
        })?;
        Ok(index)
    }

    /// The index of a segment that no manifest is at hand for, and what a manifest would say of it
    /// (nothing of it live): whole in itself, and where it says it belongs.
    pub fn unknown_segment_index(
        &self,
        volume: &VolumeName,
        backup: &BackupId,
        number: u32,
    ) -> Result<(SegmentIndex, SegmentRef)> {
        let bytes = self.store().len(&keys::segment(volume, backup, number))?;
        let (index, footer) = self.read_index(volume, backup, number, bytes, |_| None)?;
        Ok((index, SegmentRef { number, bytes, hash: footer.hash, live_bytes: 0 }))
    }

    fn read_index(
        &self,
        volume: &VolumeName,
        backup: &BackupId,
        number: u32,
        bytes: u64,
        refuse: impl FnOnce(&Footer) -> Option<&'static str>,
    ) -> Result<(SegmentIndex, Footer)> {
        let key = keys::segment(volume, backup, number);
        let wrong = |why: &str| self.ensure(false, &key, "segment", || why.to_owned());
        let mut tail = vec![0; usize::try_from(bytes.min(TAIL_BYTES)).unwrap_or(0)];
        self.store().read_at(&key, bytes - tail.len() as u64, &mut tail)?;
        let Some((_, footer)) = tail.split_last_chunk::<FOOTER_BYTES>() else {
            return wrong("it is cut short").and_then(|()| unreachable_after_refusal());
        };
        let footer = Footer::decode(footer, bytes).map_err(|cause| self.object_error(&key, cause))?;
        refuse(&footer).map_or(Ok(()), wrong)?;
        self.ensure(footer.index_bytes <= INDEX_BYTES_MAX, &key, "segment", || {
            format!("its index has {} bytes", footer.index_bytes)
        })?;
        self.complete_tail(&key, bytes, footer.index_offset_bytes, &mut tail)?;
        let (index, footer) =
            SegmentIndex::decode_tail(&tail, bytes).map_err(|cause| self.object_error(&key, cause))?;
        let names = (&index.volume, &index.backup, index.number);
        let ours = index.repository == self.id() && names == (volume, backup, number);
        self.ensure(ours, &key, "segment", || format!("it is {} of {}", keys::segment(names.0, names.1, names.2), index.repository))?;
        Ok((index, footer))
    }
}
