//! The index at a segment's end: which backup wrote its blocks, and where each block is.
//!
//! The hash of the index is in the footer and in every manifest that needs the segment. The index contains the hash and
//! CRC-32 of every block, so this one hash proves the whole segment.

use std::ops::Range;

use uuid::Uuid;

use super::entry::IndexEntry;
use super::footer::Footer;
use super::{FOOTER_BYTES, READ_ALIGN, STORE_ALIGN};
use crate::FORMAT_VERSION;
use crate::error::{Result, check_version, damaged, ensure, unsupported};
use crate::geometry::Geometry;
use crate::hash::{BlockHash, agrees};
use crate::ids::{BackupId, VolumeName};
use crate::layout::index_header as at;
use crate::layout::{array_at, index_entry, put, u32_at, u64_at};

const WHAT: &str = "segment index";
const MAGIC: &[u8; 8] = b"SEPTETIX";

/// The blocks of a segment, and the backup that wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentIndex {
    /// The repository that the segment was written to.
    pub repository: Uuid,
    /// The volume of the blocks.
    pub volume: VolumeName,
    /// The backup that wrote them.
    pub backup: BackupId,
    /// The segment's number in that backup.
    pub number: u32,
    /// The volume's geometry at that backup.
    pub geometry: Geometry,
    /// The alignment and padding of blocks and index. [`STORE_ALIGN`] in segments that we write.
    pub align_bytes: u64,
    /// The blocks. [`SegmentIndex::encode`] sorts them by offset, and decoding returns them in this order.
    pub entries: Vec<IndexEntry>,
}

impl SegmentIndex {
    /// Packs the tail of a segment whose blocks end at `at_offset_bytes`: index, padding and footer. The tail's length
    /// is a multiple of `align_bytes`. Also returns the hash of the index, which manifests call the segment's hash.
    ///
    /// # Panics
    /// If `at_offset_bytes` or an entry's offset is unaligned, or there are 2³² entries. These would be our own bugs,
    /// and must not reach a store.
    pub fn encode(&self, at_offset_bytes: u64) -> (Vec<u8>, BlockHash) {
        let is_aligned = |offset_bytes: u64| offset_bytes.is_multiple_of(self.align_bytes);
        assert!(is_aligned(at_offset_bytes), "unaligned segment index");
        let index_bytes = at::BYTES + self.entries.len() * index_entry::BYTES;
        let tail_bytes = ((index_bytes + FOOTER_BYTES) as u64).next_multiple_of(self.align_bytes);
        let tail_bytes = usize::try_from(tail_bytes).unwrap_or(usize::MAX);
        let mut tail = Vec::with_capacity(tail_bytes);
        tail.extend_from_slice(&self.encode_header());
        let mut entries: Vec<&IndexEntry> = self.entries.iter().collect();
        entries.sort_by_key(|entry| entry.offset_bytes);
        for entry in entries {
            assert!(is_aligned(entry.offset_bytes), "unaligned block in a segment");
            tail.extend_from_slice(&entry.encode(self.geometry.len_bytes(entry.block)));
        }
        let hash = BlockHash::of(&tail);
        let (index_offset_bytes, index_bytes) = (at_offset_bytes, index_bytes as u64);
        let footer = Footer { index_offset_bytes, index_bytes, hash };
        tail.resize(tail_bytes - FOOTER_BYTES, 0);
        tail.extend_from_slice(&footer.encode());
        (tail, hash)
    }

    fn encode_header(&self) -> [u8; at::BYTES] {
        let mut bytes = [0; at::BYTES];
        bytes[at::MAGIC].copy_from_slice(MAGIC);
        put(&mut bytes, at::VERSION, FORMAT_VERSION);
        put(&mut bytes, at::NUMBER, self.number);
        bytes[at::REPOSITORY].copy_from_slice(self.repository.as_bytes());
        put(&mut bytes, at::VOLUME_BYTES, self.geometry.volume_bytes());
        put(&mut bytes, at::BLOCK_BYTES, self.geometry.block_bytes());
        put(&mut bytes, at::ENTRIES, self.entries.len() as u64);
        put(&mut bytes, at::ENTRY_BYTES, index_entry::BYTES as u64);
        put_name(&mut bytes, at::VOLUME_LENGTH, at::VOLUME, self.volume.as_str());
        put_name(&mut bytes, at::BACKUP_LENGTH, at::BACKUP, self.backup.as_str());
        bytes
    }

    /// The stored length of one of the segment's blocks, padding included.
    pub fn room_bytes(&self, entry: &IndexEntry) -> u64 {
        u64::from(entry.stored_bytes).next_multiple_of(self.align_bytes)
    }

    /// Unpacks the index that `footer` names. Checks its hash, then every field and entry.
    pub fn decode(index: &[u8], footer: &Footer) -> Result<Self> {
        let whole = index.len() as u64 == footer.index_bytes && index.len() >= at::BYTES;
        ensure(whole, WHAT, || format!("it has {} bytes, not {}", index.len(), footer.index_bytes))?;
        ensure(agrees(BlockHash::of(index), footer.hash), WHAT, || "it does not match its hash")?;
        let (header, packed) = index.split_at(at::BYTES);
        ensure(header[at::MAGIC] == *MAGIC, WHAT, || "this is not a segment index")?;
        check_version(WHAT, u32_at(header, at::VERSION))?;
        // The hash is correct, so unknown bytes were written by a later version.
        if header[at::RESERVED].iter().any(|byte| *byte != 0) {
            return unsupported(WHAT, "it uses reserved bytes, which this septet does not support");
        }
        let entry_bytes = u32_at(header, at::ENTRY_BYTES);
        if u64::from(entry_bytes) != index_entry::BYTES as u64 {
            return unsupported(
                WHAT,
                format!("its entries have {entry_bytes} bytes, which this septet does not support"),
            );
        }
        let (volume_bytes, block_bytes) = (u64_at(header, at::VOLUME_BYTES), u32_at(header, at::BLOCK_BYTES));
        let geometry = Geometry::new(volume_bytes, block_bytes).or_else(as_damage)?;
        let count = u64::from(u32_at(header, at::ENTRIES));
        ensure(count * index_entry::BYTES as u64 == packed.len() as u64, WHAT, || {
            format!("{count} entries do not take {} bytes", packed.len())
        })?;
        let entries = decode_entries(packed, &geometry, footer.index_offset_bytes)?;
        Ok(Self {
            repository: Uuid::from_bytes(array_at(header, at::REPOSITORY)),
            volume: name_at(header, at::VOLUME_LENGTH, at::VOLUME)?.parse().or_else(as_damage)?,
            backup: name_at(header, at::BACKUP_LENGTH, at::BACKUP)?.parse().or_else(as_damage)?,
            number: u32_at(header, at::NUMBER),
            geometry,
            align_bytes: alignment(&entries, footer.index_offset_bytes),
            entries,
        })
    }

    /// Unpacks everything from the index's start to the segment's end, and checks the padding, too. For a verification
    /// that must find every flipped byte.
    pub fn decode_tail(tail: &[u8], object_bytes: u64) -> Result<(Self, Footer)> {
        let Some((front, footer)) = tail.split_last_chunk::<FOOTER_BYTES>() else {
            return damaged(WHAT, "it is truncated");
        };
        let footer = Footer::decode(footer, object_bytes)?;
        let starts_right = footer.index_offset_bytes.checked_add(tail.len() as u64);
        ensure(starts_right == Some(object_bytes), WHAT, || "it starts at another offset")?;
        let split = usize::try_from(footer.index_bytes).ok();
        let Some((index, padding)) = split.and_then(|at| front.split_at_checked(at)) else {
            return damaged(WHAT, "it is truncated");
        };
        ensure(padding.iter().all(|b| *b == 0), WHAT, || "the padding after it is not zero")?;
        Ok((Self::decode(index, &footer)?, footer))
    }
}

fn decode_entries(packed: &[u8], geometry: &Geometry, ceiling: u64) -> Result<Vec<IndexEntry>> {
    let mut floor = 0;
    let decode = |bytes| {
        let entry = IndexEntry::decode(bytes, geometry, floor, ceiling)?;
        floor = entry.offset_bytes + u64::from(entry.stored_bytes);
        Ok(entry)
    };
    packed.chunks_exact(index_entry::BYTES).map(decode).collect()
}

/// The alignment that the segment's writer used: the larger one that fits all offsets.
fn alignment(entries: &[IndexEntry], index_offset_bytes: u64) -> u64 {
    let mut offsets = entries.iter().map(|entry| entry.offset_bytes).chain([index_offset_bytes]);
    if offsets.all(|offset| offset.is_multiple_of(STORE_ALIGN)) { STORE_ALIGN } else { READ_ALIGN }
}

/// Within an object, an invalid name or geometry is damage, not a usage error.
fn as_damage<T>(error: crate::FormatError) -> Result<T> {
    damaged(WHAT, error.to_string())
}

fn put_name(bytes: &mut [u8], length: Range<usize>, at: Range<usize>, name: &str) {
    put(bytes, length, name.len() as u64);
    bytes[at][..name.len()].copy_from_slice(name.as_bytes());
}

fn name_at(bytes: &[u8], length: Range<usize>, at: Range<usize>) -> Result<&str> {
    let length = usize::from(bytes[length.start]);
    let named = bytes[at].split_at_checked(length);
    let clean = named.filter(|(_, rest)| rest.iter().all(|b| *b == 0));
    match clean.map(|(name, _)| std::str::from_utf8(name)) {
        Some(Ok(name)) => Ok(name),
        _ => damaged(WHAT, "a name is not text"),
    }
}
