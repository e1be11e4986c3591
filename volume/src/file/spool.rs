//! The changes of a volume: a sparse file and a list of the ranges that are valid in it.
//!
//! [`Spool`] writes a stream of changes to the file. A backup reads it as a [`SpooledSource`]. Ranges that are not in
//! the list are unchanged since the parent, or holes if there is no parent.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

use super::source::FileSource;
use crate::{Extent, ExtentKind, Source, VolumeError};

const DATA: &str = "data";
const RANGES: &str = "ranges";

/// Changes that are being written.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    ranges: Ranges,
    otherwise: ExtentKind,
}

impl Spool {
    /// Creates a spool in an empty directory. Returns the file for the changes, too.
    pub fn create(folder: &Path, volume_bytes: u64, has_parent: bool) -> io::Result<(Self, File)> {
        let data = File::options().read(true).write(true).create_new(true).open(folder.join(DATA))?;
        data.set_len(volume_bytes)?;
        let otherwise = if has_parent { ExtentKind::Unchanged } else { ExtentKind::Hole };
        Ok((Self { folder: folder.to_owned(), ranges: Ranges::default(), otherwise }, data))
    }

    /// Its directory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Marks the range as valid in the file.
    pub fn add(&mut self, range: Range<u64>) {
        self.ranges.add(range);
    }

    /// Whether the byte is valid in the file.
    pub fn contains(&self, offset: u64) -> bool {
        self.ranges.around(offset).is_some()
    }

    /// Makes a range of the file a hole.
    pub fn clear(&self, data: &File, range: Range<u64>) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(fallocate(data, flags, range.start, range.end.saturating_sub(range.start))?)
    }

    /// Writes the list of ranges. [`SpooledSource::open`] can then read the volume.
    pub fn save(&self) -> io::Result<()> {
        let kind = u64::from(self.otherwise == ExtentKind::Unchanged);
        let ranges = self.ranges.0.iter().flat_map(|(start, end)| [*start, *end]);
        let numbers = std::iter::once(kind).chain(ranges);
        std::fs::write(self.folder.join(RANGES), numbers.flat_map(u64::to_le_bytes).collect::<Vec<_>>())
    }
}

/// Stored changes, as a volume to back up.
#[derive(Debug)]
pub struct SpooledSource {
    data: FileSource,
    ranges: Ranges,
    otherwise: ExtentKind,
}

impl SpooledSource {
    /// Opens a spool that [`Spool::save`] has completed.
    pub fn open(folder: &Path) -> Result<Self, VolumeError> {
        let data = FileSource::open(&folder.join(DATA))?;
        let bad = |reason: String| VolumeError::Io { volume: folder.display().to_string(), action: "read it", reason };
        let list = std::fs::read(folder.join(RANGES)).map_err(|error| bad(error.to_string()))?;
        let numbers: Vec<u64> = list.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        let (kind, pairs) = numbers.split_first().ok_or_else(|| bad("its list of ranges is empty".to_owned()))?;
        let mut ranges = Ranges::default();
        pairs.as_chunks::<2>().0.iter().for_each(|[start, end]| ranges.add(*start..*end));
        let otherwise = if *kind == 1 { ExtentKind::Unchanged } else { ExtentKind::Hole };
        Ok(Self { data, ranges, otherwise })
    }
}

impl Source for SpooledSource {
    fn bytes(&self) -> u64 {
        self.data.bytes()
    }

    fn describe(&self) -> String {
        "a stream of changes".to_owned()
    }

    fn next_extent(&self, offset_bytes: u64, end_bytes: u64) -> Result<Extent, VolumeError> {
        if let Some(range) = self.ranges.around(offset_bytes) {
            return self.data.next_extent(offset_bytes, end_bytes.min(range.end));
        }
        // This call also checks that the range is within the volume.
        let whole = self.data.next_extent(offset_bytes, end_bytes)?;
        let end = self.ranges.next_start(offset_bytes).unwrap_or(end_bytes).min(end_bytes);
        Ok(Extent { size_bytes: end - whole.offset_bytes, kind: self.otherwise, ..whole })
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), VolumeError> {
        self.data.read_at(offset_bytes, buf)
    }

    fn check_size(&self) -> Result<Option<u64>, VolumeError> {
        self.data.check_size()
    }
}

/// Ranges that do not touch each other. The map's keys are starts, its values are ends.
#[derive(Debug, Default)]
struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    fn add(&mut self, mut range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        while let Some((&start, &end)) = self.0.range(..=range.end).next_back().filter(|(_, end)| **end >= range.start)
        {
            self.0.remove(&start);
            range = range.start.min(start)..range.end.max(end);
        }
        self.0.insert(range.start, range.end);
    }

    fn around(&self, offset: u64) -> Option<Range<u64>> {
        let (&start, &end) = self.0.range(..=offset).next_back()?;
        (offset < end).then_some(start..end)
    }

    fn next_start(&self, offset: u64) -> Option<u64> {
        self.0.range(offset..).next().map(|(start, _)| *start)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_hold_what_was_added(added in prop::collection::vec((0u64..200, 0u64..40), 0..20)) {
            let mut ranges = Ranges::default();
            added.iter().for_each(|(start, length)| ranges.add(*start..start + length));
            for byte in 0..260 {
                let held = added.iter().any(|(start, length)| (*start..start + length).contains(&byte));
                prop_assert_eq!(ranges.around(byte).is_some(), held, "byte {}", byte);
            }
            let list: Vec<_> = ranges.0.iter().collect();
            prop_assert!(list.windows(2).all(|pair| pair[0].1 < pair[1].0), "{:?}", list);
        }
    }

    #[test]
    fn what_is_in_no_range_is_the_parents() {
        for (has_parent, otherwise) in [(true, ExtentKind::Unchanged), (false, ExtentKind::Hole)] {
            let folder = tempfile::tempdir().unwrap();
            let (mut spool, data) = Spool::create(folder.path(), 1 << 20, has_parent).unwrap();
            spool.add(65536..196_608);
            data.write_all_at(&[7; 65536], 65536).unwrap();
            spool.save().unwrap();
            let source = SpooledSource::open(folder.path()).unwrap();
            let kinds = |offset| source.next_extent(offset, 1 << 20).unwrap();
            assert_eq!(kinds(0), Extent { offset_bytes: 0, size_bytes: 65536, kind: otherwise });
            assert_eq!(kinds(65536).kind, ExtentKind::Data);
            assert!(kinds(65536).end_bytes() <= 196_608);
            assert_eq!((kinds(196_608).kind, kinds(196_608).end_bytes()), (otherwise, 1 << 20));
            assert!(source.next_extent(0, (1 << 20) + 1).is_err());
        }
    }
}
