//! Stores `checksums` and `map` in parts while they are packed, so that no table is whole in memory.
//!
//! The directory comes first in the object but is known last. So the part that holds it (for the largest volumes, the
//! parts) is kept in memory until the end. All other parts are sent when they are full, several at a time.

use crate::parallel::parallel;
use crate::{Repository, RepositoryError, Result, TableKind};
use bytes::Bytes;
use septet_format::{BackupId, PackedChunk, TableEncoder, TableFront, TableRef, VolumeName};
use septet_store::{PIECE_ALIGN_BYTES, Upload};

/// The number of chunks that are packed at once.
const CHUNKS_AT_ONCE: u64 = 8;
/// The maximum number of parts in memory, even if the store could take more: 32 MiB with parts of 8 MiB.
const PARTS_AT_ONCE_MAX: usize = 4;

/// A table that is to be written: its name and its shape.
#[derive(Clone, Copy, Debug)]
pub struct NewTable<'a> {
    /// The volume.
    pub volume: &'a VolumeName,
    /// The backup.
    pub backup: &'a BackupId,
    /// The generation in its name.
    pub generation: u32,
    /// Which table.
    pub kind: TableKind,
    /// The number of entries: one per block.
    pub entries: u64,
}

impl Repository {
    /// Packs and stores a table. Returns its entry in the manifest.
    ///
    /// `read` fills memory with the entries from a chunk's first one on. Several threads call it at once. `step` is
    /// called whenever some chunks are done, so that a supervised caller can report that it is alive.
    pub fn put_table<E: From<RepositoryError> + Send>(
        &self,
        table: NewTable<'_>,
        read: impl Fn(u64, &mut [u8]) -> Result<(), E> + Sync,
        step: impl Fn(),
    ) -> Result<TableRef, E> {
        let NewTable { volume, backup, generation, kind, entries } = table;
        let key = kind.key(volume, backup, generation);
        let wrong = |cause| E::from(self.object_error(&key, cause));
        let mut encoder = TableEncoder::new(kind.entry_bytes(), entries).map_err(wrong)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut parts = Parts::new(self, &key, encoder.data_offset_bytes());
        let mut next = 0;
        while next < encoder.chunks() {
            let batch: Vec<u64> = (next..encoder.chunks().min(next + CHUNKS_AT_ONCE)).collect();
            next += batch.len() as u64;
            let pack = |chunk: &u64| {
                let mut entries = vec![0; encoder.chunk_bytes(*chunk)];
                read(encoder.entries_of(*chunk).start, &mut entries).map(|()| PackedChunk::pack(&entries))
            };
            for chunk in parallel(threads, &batch, pack) {
                let chunk = chunk?;
                encoder.push(chunk.as_ref());
                chunk.iter().try_for_each(|chunk| parts.append(chunk.stored()))?;
            }
            step();
        }
        let TableFront { front, bytes, root } = encoder.finish();
        parts.finish(&front)?;
        step();
        Ok(TableRef { generation, bytes, root })
    }
}

/// An object whose first bytes are written last.
struct Parts<'a> {
    repository: &'a Repository,
    key: &'a str,
    part_bytes: usize,
    /// The parts with the directory, from the object's beginning on.
    held: Part,
    /// The part that is being filled. It is empty until `held` is full.
    filling: Part,
    /// The full parts: the offset of each in the object, bytes, and its content.
    full: Vec<(u64, Bytes)>,
    upload: Option<Box<dyn Upload>>,
}

/// A part of the object, in memory that is aligned for any store.
struct Part {
    offset_bytes: u64,
    memory: Vec<u8>,
    /// The number of bytes in `memory` before the first aligned address.
    skip: usize,
    room: usize,
}

impl Part {
    fn new(offset_bytes: u64, room: usize) -> Self {
        let mut memory: Vec<u8> = Vec::with_capacity(room + PIECE_ALIGN_BYTES);
        let skip = memory.as_ptr().addr().next_multiple_of(PIECE_ALIGN_BYTES) - memory.as_ptr().addr();
        memory.resize(skip, 0);
        Part { offset_bytes, memory, skip, room }
    }

    fn len(&self) -> usize {
        self.memory.len() - self.skip
    }

    fn end_bytes(&self) -> u64 {
        self.offset_bytes + self.len() as u64
    }

    /// Takes as many bytes as there is room for, and returns the rest.
    fn take<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let (now, later) = bytes.split_at(bytes.len().min(self.room - self.len()));
        self.memory.extend_from_slice(now);
        later
    }

    fn is_full(&self) -> bool {
        self.len() == self.room
    }

    /// Its offset in the object, and its content.
    fn into_piece(self) -> (u64, Bytes) {
        (self.offset_bytes, Bytes::from(self.memory).slice(self.skip..))
    }
}

impl<'a> Parts<'a> {
    fn new(repository: &'a Repository, key: &'a str, front_bytes: u64) -> Self {
        let part_bytes = repository.store().part_rules().part_bytes;
        // Header and directory have at most 12 MiB.
        let front_bytes = usize::try_from(front_bytes).unwrap_or(usize::MAX);
        let mut held = Part::new(0, front_bytes.next_multiple_of(part_bytes));
        held.memory.resize(held.skip + front_bytes, 0);
        let filling = Part::new(held.room as u64, part_bytes);
        Parts { repository, key, part_bytes, held, filling, full: Vec::new(), upload: None }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = self.held.take(bytes);
        while !rest.is_empty() {
            rest = self.filling.take(rest);
            if self.filling.is_full() {
                let next = Part::new(self.filling.end_bytes(), self.part_bytes);
                self.full.push(std::mem::replace(&mut self.filling, next).into_piece());
                if self.full.len() >= self.at_once() {
                    self.send()?;
                }
            }
        }
        Ok(())
    }

    /// Writes the object's first bytes, and completes the object.
    fn finish(mut self, front: &[u8]) -> Result<()> {
        let skip = self.held.skip;
        self.held.memory[skip..skip + front.len()].copy_from_slice(front);
        let one_part = self.filling.len() == 0 && self.full.is_empty() && self.upload.is_none();
        let (_, held) = std::mem::replace(&mut self.held, Part::new(0, 0)).into_piece();
        if one_part && held.len() <= self.part_bytes {
            return Ok(self.repository.store().put(self.key, held)?);
        }
        let starts = (0..held.len()).step_by(self.part_bytes);
        let first = starts.map(|at| (at as u64, held.slice(at..held.len().min(at + self.part_bytes))));
        self.full.extend(first);
        let last = std::mem::replace(&mut self.filling, Part::new(0, 0)).into_piece();
        self.full.extend(Some(last).filter(|(_, last)| !last.is_empty()));
        self.send()?;
        match &self.upload {
            Some(upload) => Ok(upload.finish()?),
            None => Ok(()),
        }
    }

    /// Sends all full parts, several at a time.
    fn send(&mut self) -> Result<()> {
        let at_once = self.at_once();
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(self.repository.store().upload(self.key)?),
        };
        let bodies = std::mem::take(&mut self.full);
        let part_bytes = self.part_bytes as u64;
        let put = |(offset_bytes, body): &(u64, Bytes)| {
            let number = u32::try_from(offset_bytes / part_bytes).unwrap_or(u32::MAX);
            upload.put_part(number, *offset_bytes, vec![body.clone()])
        };
        parallel(at_once, &bodies, put).into_iter().try_for_each(|put| Ok(put?))
    }

    fn at_once(&self) -> usize {
        self.repository.store().part_rules().parts_in_flight.clamp(1, PARTS_AT_ONCE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;
    use septet_format::{TABLE_CHUNK_ENTRIES, encode_table};

    /// Incompressible entries, except for a chunk of zeros.
    fn entry(number: u64) -> [u8; 32] {
        if number / u64::from(TABLE_CHUNK_ENTRIES) == 1 {
            [0; 32]
        } else {
            *blake3::hash(&number.to_le_bytes()).as_bytes()
        }
    }

    fn read(first: u64, into: &mut [u8]) -> Result<()> {
        for (number, place) in (first..).zip(into.chunks_exact_mut(32)) {
            place.copy_from_slice(&entry(number));
        }
        Ok(())
    }

    #[test]
    fn a_table_in_parts_is_the_one_that_is_packed_in_memory() {
        let sample = Sample::new();
        let (volume, backup) = (sample.volume.clone(), "b1".parse().unwrap());
        let part_bytes = sample.repository.store().part_rules().part_bytes as u64;
        // None, less than a part, about a part, and several rounds of parts.
        for entries in [0, 1, 40_000, part_bytes / 32, (2 * PARTS_AT_ONCE_MAX as u64 + 1) * part_bytes / 32 + 7] {
            let table =
                NewTable { volume: &volume, backup: &backup, generation: 3, kind: TableKind::Checksums, entries };
            let named = sample.repository.put_table(table, read, || {}).unwrap();
            let in_memory = encode_table(32, entries, |first, into| {
                read(first, into).unwrap();
                Ok(())
            });
            let in_memory = in_memory.unwrap();
            assert_eq!(named, in_memory.reference(3), "{entries} entries");
            assert!(sample.read("vol/b1/checksums-3") == in_memory.object, "{entries} entries");
        }
    }

    #[test]
    fn what_fails_to_be_read_leaves_no_object() {
        let sample = Sample::new();
        let (volume, backup) = (sample.volume.clone(), "b1".parse().unwrap());
        let table =
            NewTable { volume: &volume, backup: &backup, generation: 0, kind: TableKind::Map, entries: 100_000 };
        let fail = |_: u64, _: &mut [u8]| Err(RepositoryError::InvalidName("enough".to_owned()));
        let error = sample.repository.put_table(table, fail, || {}).unwrap_err();
        assert_eq!(error.to_string(), "enough");
        assert!(sample.repository.store().len("vol/b1/map-0").is_err());
    }
}
