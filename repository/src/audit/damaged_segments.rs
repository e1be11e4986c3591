//! The damage that a verification found in the segments of one volume.

use septet_format::{BackupId, Location, padded};
use std::collections::{BTreeMap, HashMap};

/// Damaged segments, and damaged places in segments that are whole otherwise; all of one volume.
#[derive(Debug, Default)]
pub struct DamagedSegments {
    segments: HashMap<(BackupId, u32), DamagedSegment>,
}

/// What is damaged in one segment.
#[derive(Debug, Default)]
pub(super) struct DamagedSegment {
    /// Why nothing of it can be used.
    pub(super) whole: Option<String>,
    /// Why what lies at an offset can't.
    places: BTreeMap<u64, String>,
}

impl DamagedSegments {
    /// Of this segment, nothing can be used. The first reason counts.
    pub fn add_segment(&mut self, backup: BackupId, number: u32, reason: String) {
        self.segments.entry((backup, number)).or_default().whole.get_or_insert(reason);
    }

    /// The block that lies at this offset in the segment is damaged. The first reason counts.
    pub fn add_place(&mut self, backup: BackupId, number: u32, offset_bytes: u64, reason: String) {
        self.segments.entry((backup, number)).or_default().places.entry(offset_bytes).or_insert(reason);
    }

    /// Whether nothing is damaged.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub(super) fn of(&self, backup: &BackupId, number: u32) -> Option<&DamagedSegment> {
        self.segments.get(&(backup.clone(), number))
    }
}

impl DamagedSegment {
    /// Why a block that lies here is damaged, if it is; its padding counts.
    pub(super) fn at(&self, location: &Location) -> Option<&str> {
        let end_bytes = location.offset_bytes.saturating_add(padded(location.stored_bytes));
        let mut places = self.places.range(location.offset_bytes..end_bytes);
        places.next().map(|(_, reason)| reason.as_str())
    }
}
