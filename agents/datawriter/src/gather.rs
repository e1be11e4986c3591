//! Assigns each block its place: in the segment being written, and in the part being gathered.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use septet_format::{BackupId, BlockHash, Codec, Geometry, IndexEntry, STORE_ALIGN, SegmentIndex, VolumeName, padded};
use septet_ipc::message::SegmentLine;
use septet_ipc::{BackupJob, Command, Failure, Work, Worker};
use septet_repository::{RepositoryError, SegmentSink, SegmentUpload};
use uuid::Uuid;

/// The maximum size of the segments of a large volume, in a repository that should hold few objects. The index of such
/// a segment stays small, and it has far fewer parts than the 10,000 that S3 allows.
const GROWN_SEGMENT_BYTES_MAX: u64 = 4 << 30;

/// A full part, or the last part of its segment. The worker that receives it must write it.
pub(crate) struct Part {
    pub(crate) segment: Arc<Segment>,
    pub(crate) number: u32,
    pub(crate) offset_bytes: u64,
    pub(crate) body: Vec<Bytes>,
}

/// A segment until its last part is written.
pub(crate) struct Segment {
    number: u32,
    upload: SegmentUpload,
    parts: Mutex<Parts>,
}

#[derive(Default)]
struct Parts {
    under_way: u32,
    /// Set when the last part is created: the object's length and the hash of its index.
    sealed: Option<(u64, BlockHash)>,
}

/// The blocks and segments that are being gathered.
pub(crate) struct Gather {
    repository: Uuid,
    volume: VolumeName,
    backup: BackupId,
    geometry: Geometry,
    part_bytes: u64,
    segment_bytes: u64,
    next_number: u32,
    open: Option<OpenSegment>,
    /// When the last block came.
    fed: Instant,
}

/// A segment that still accepts blocks.
struct OpenSegment {
    segment: Arc<Segment>,
    entries: Vec<IndexEntry>,
    end_bytes: u64,
    parts: u32,
    /// The offset at which the current part starts.
    part_start: u64,
    body: Vec<Bytes>,
    /// How many pieces at the start of the body are copies and no longer slots.
    copied: usize,
}

impl Gather {
    pub(crate) fn new(job: &BackupJob, part_bytes: u64, objects_max: Option<u64>) -> Result<Self, Failure> {
        let volume_bytes =
            job.volume_bytes.ok_or_else(|| Failure::protocol("`begin` does not give the volume's size"))?;
        let least_bytes = objects_max.map_or(0, |objects| volume_bytes.div_ceil(objects.max(1)));
        Ok(Self {
            repository: job.repository,
            volume: job.volume.clone(),
            backup: job.backup.clone(),
            geometry: Geometry::for_writing(volume_bytes, job.block_bytes).map_err(Failure::protocol)?,
            part_bytes,
            segment_bytes: job.segment_bytes.max(least_bytes.min(GROWN_SEGMENT_BYTES_MAX)),
            // Every attempt numbers its segments in its own range, so it never overwrites what another attempt still
            // writes.
            next_number: septet_format::keys::first_segment(job.attempt)
                .ok_or_else(|| Failure::protocol("the number of this attempt at the backup is too large"))?,
            open: None,
            fed: Instant::now(),
        })
    }

    /// Assigns the block its place. Returns its command with the place, and the part if the block fills it.
    pub(crate) fn add(
        &mut self,
        segments: &SegmentSink,
        work: Work,
        worker: &Worker<'_>,
    ) -> Result<(Command, Option<Part>), Failure> {
        self.fed = Instant::now();
        let entry = self.entry(&work.command)?;
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open(segments, worker)?,
        };
        let command = open.add(entry, work)?;
        if open.end_bytes >= self.segment_bytes {
            return Ok((command, Some(self.seal_segment(open)?)));
        }
        let part = (open.end_bytes - open.part_start >= self.part_bytes).then(|| open.take_part());
        self.open = Some(open);
        Ok((command, part))
    }

    /// How long no block has come.
    pub(crate) fn idle(&self) -> Duration {
        self.fed.elapsed()
    }

    /// Copies what is gathered for the next part, which releases its slots.
    pub(crate) fn copy_out(&mut self) {
        if let Some(open) = &mut self.open
            && open.copied < open.body.len()
        {
            let copy = open.body[open.copied..].concat();
            open.body.truncate(open.copied);
            open.body.push(copy.into());
            open.copied += 1;
        }
    }

    /// The last part of the current segment, with its index.
    pub(crate) fn seal(&mut self) -> Result<Option<Part>, Failure> {
        self.open.take().map(|open| self.seal_segment(open)).transpose()
    }

    fn open(&mut self, segments: &SegmentSink, worker: &Worker<'_>) -> Result<OpenSegment, Failure> {
        worker.step_aside();
        let number = self.next_number;
        let upload = worker.outside(|| segments.new_segment(&self.volume, &self.backup, number)).map_err(failed)?;
        self.next_number = number.checked_add(1).ok_or_else(|| Failure::store("too many segments in one backup"))?;
        Ok(OpenSegment {
            segment: Arc::new(Segment { number, upload, parts: Mutex::default() }),
            entries: Vec::new(),
            end_bytes: 0,
            parts: 0,
            part_start: 0,
            body: Vec::new(),
            copied: 0,
        })
    }

    /// The block's index entry, still without its place.
    fn entry(&self, command: &Command) -> Result<IndexEntry, Failure> {
        let missing = |what: &str| Failure::protocol(format!("the command for a block to store has no {what}"));
        let stored_bytes = u32::try_from(command.stored_bytes()).map_err(Failure::protocol)?;
        let hash = command.hash.ok_or_else(|| missing("hash"))?;
        let codec = command.codec.ok_or_else(|| missing("codec"))?;
        let crc32 = match (command.crc32, codec) {
            (Some(crc32), _) => crc32,
            // The content's hash covers every stored byte.
            (None, Codec::Raw) => 0,
            (None, _) => return Err(missing("crc32")),
        };
        Ok(IndexEntry {
            block: self.geometry.block_at(command.offset),
            hash,
            offset_bytes: 0,
            stored_bytes,
            codec,
            crc32,
        })
    }

    fn seal_segment(&self, mut open: OpenSegment) -> Result<Part, Failure> {
        let index = SegmentIndex {
            repository: self.repository,
            volume: self.volume.clone(),
            backup: self.backup.clone(),
            number: open.segment.number,
            geometry: self.geometry,
            align_bytes: STORE_ALIGN,
            entries: std::mem::take(&mut open.entries),
        };
        let (tail, hash) = index.encode(open.end_bytes);
        open.segment.seal(open.end_bytes + tail.len() as u64, hash);
        open.body.push(Bytes::from(tail));
        Ok(open.take_part())
    }
}

impl OpenSegment {
    fn add(&mut self, mut entry: IndexEntry, work: Work) -> Result<Command, Failure> {
        let Work { mut command, slot } = work;
        let slot = slot.ok_or_else(|| Failure::protocol("the command for a block to store has no bytes"))?;
        entry.offset_bytes = self.end_bytes;
        command.segment = Some(self.segment.number);
        command.segment_offset = Some(self.end_bytes);
        self.end_bytes += padded(entry.stored_bytes);
        self.entries.push(entry);
        self.body.push(Bytes::from_owner(slot.padded()));
        Ok(command)
    }

    fn take_part(&mut self) -> Part {
        let part = Part {
            segment: Arc::clone(&self.segment),
            number: self.parts,
            offset_bytes: self.part_start,
            body: std::mem::take(&mut self.body),
        };
        self.segment.part_begins();
        self.copied = 0;
        self.parts += 1;
        self.part_start = self.end_bytes;
        part
    }
}

impl Segment {
    pub(crate) fn put(
        &self,
        number: u32,
        offset_bytes: u64,
        body: Vec<Bytes>,
        worker: &Worker<'_>,
    ) -> Result<(), Failure> {
        worker.outside(|| self.upload.put_part(number, offset_bytes, body)).map_err(failed)
    }

    /// Counts one part as written. If it was the last, closes the segment.
    pub(crate) fn part_done(&self, worker: &Worker<'_>) -> Result<Option<SegmentLine>, Failure> {
        let sealed = {
            let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
            parts.under_way -= 1;
            parts.sealed.filter(|_| parts.under_way == 0)
        };
        let Some((bytes, hash)) = sealed else { return Ok(None) };
        worker.outside(|| self.upload.finish()).map_err(failed)?;
        Ok(Some(SegmentLine { number: self.number, bytes, hash }))
    }

    fn part_begins(&self) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).under_way += 1;
    }

    fn seal(&self, bytes: u64, hash: BlockHash) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).sealed = Some((bytes, hash));
    }
}

fn failed(error: RepositoryError) -> Failure {
    Failure::storing(error.is_full(), error)
}
