//! The damage that a verification found in segments.

use septet_format::{Location, SegmentId, padded};
use std::collections::{BTreeMap, HashMap};

/// Damaged segments, and damaged places in otherwise whole segments.
#[derive(Debug, Default)]
pub struct DamagedSegments {
    segments: HashMap<SegmentId, DamagedSegment>,
}

/// The damage in one segment.
#[derive(Debug, Default)]
pub(super) struct DamagedSegment {
    /// Why the whole segment is unusable.
    pub(super) whole: Option<String>,
    /// Why the block at each offset is damaged.
    places: BTreeMap<u64, String>,
}

impl DamagedSegments {
    /// Records that a whole segment is unusable. The first reason is kept.
    pub fn add_segment(&mut self, segment: SegmentId, reason: String) {
        self.segments.entry(segment).or_default().whole.get_or_insert(reason);
    }

    /// Records that the block at this offset in the segment is damaged. The first reason is kept.
    pub fn add_place(&mut self, segment: SegmentId, offset_bytes: u64, reason: String) {
        self.segments.entry(segment).or_default().places.entry(offset_bytes).or_insert(reason);
    }

    /// Whether no damage is recorded.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub(super) fn of(&self, segment: &SegmentId) -> Option<&DamagedSegment> {
        self.segments.get(segment)
    }
}

impl DamagedSegment {
    /// Why the block at this location is damaged, if it is. Damage in its padding counts.
    pub(super) fn at(&self, location: &Location) -> Option<&str> {
        let end_bytes = location.offset_bytes.saturating_add(padded(location.stored_bytes));
        let mut places = self.places.range(location.offset_bytes..end_bytes);
        places.next().map(|(_, reason)| reason.as_str())
    }
}
