//! Checks that the fields of a manifest are consistent. The hash only proves that the manifest was not changed by
//! accident. Code that uses a decoded manifest relies on these checks.

use std::collections::HashSet;

use super::{Manifest, SegmentRef, SourceBackup, WHAT};
use crate::error::{Result, check_version, damaged, ensure};
use crate::keys::GENERATION_MAX;
use crate::layout::{index_header, table_header};
use crate::segment::{FOOTER_BYTES, READ_ALIGN, SEGMENT_BYTES_MAX};

/// The length of the shortest segment, whose index is empty.
const SEGMENT_BYTES_MIN: u64 = ((index_header::BYTES + FOOTER_BYTES) as u64).next_multiple_of(READ_ALIGN);

impl Manifest {
    /// Checks everything that a reader relies on. Decoding calls this. Call it before writing, too.
    pub fn check(&self) -> Result<()> {
        check_version(WHAT, self.format)?;
        check_generation(WHAT, "its", self.generation)?;
        let geometry = self.geometry().or_else(|error| damaged(WHAT, error.to_string()))?;
        ensure(self.hash == "blake3", WHAT, || format!("unknown hash {:?}", self.hash))?;
        ensure(self.blocks.total() == Some(geometry.blocks()), WHAT, || {
            format!("its block counts do not add up to {}", geometry.blocks())
        })?;
        ensure(self.parent.as_ref() != Some(&self.backup), WHAT, || "it is its own parent")?;
        for (name, table) in [("checksums", self.checksums), ("map", self.map)] {
            check_generation(WHAT, name, table.generation)?;
            let whole = table.bytes >= table_header::BYTES as u64;
            ensure(whole, WHAT, || format!("{name} has only {} bytes", table.bytes))?;
        }
        self.check_sources()
    }

    fn check_sources(&self) -> Result<()> {
        // A map entry stores the row plus 1 in 32 bits.
        ensure(u32::try_from(self.rows()).is_ok(), WHAT, || "too many segments")?;
        let mut seen = HashSet::new();
        for source in &self.sources {
            self.check_source(source)?;
            ensure(seen.insert((&source.volume, &source.backup)), WHAT, || {
                format!("source backup {} is listed twice", source.backup)
            })?;
        }
        let is_own = |source: &SourceBackup| (&source.volume, &source.backup) == (&self.volume, &self.backup);
        let own = self.sources.iter().position(is_own);
        ensure(own.is_none_or(|at| at + 1 == self.sources.len()), WHAT, || "its own segments are not listed last")
    }

    fn check_source(&self, source: &SourceBackup) -> Result<()> {
        let backup = &source.backup;
        // A backup that uses segments of another volume needs the feature `shared`. That is unsupported, so such a
        // backup was rejected before this check: deletion reads the manifests of only one volume.
        ensure(source.volume == self.volume, WHAT, || {
            format!("source backup {backup} belongs to another volume: {}", source.volume)
        })?;
        let mut seen = HashSet::new();
        for segment in &source.segments {
            let number = segment.number;
            ensure(seen.insert(number), WHAT, || format!("segment {number} of {backup} is listed twice"))?;
            ensure(has_possible_size(segment), WHAT, || {
                let SegmentRef { bytes, live_bytes, .. } = segment;
                format!("segment {number} of {backup} has {live_bytes} live of {bytes} bytes")
            })?;
        }
        Ok(())
    }
}

/// Returns an error for a generation that no key can have.
pub(super) fn check_generation(what: &'static str, of: &str, generation: u32) -> Result<()> {
    ensure(generation <= GENERATION_MAX, what, || format!("{of} generation {generation} is above {GENERATION_MAX}"))
}

fn has_possible_size(segment: &SegmentRef) -> bool {
    let sizes = SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX;
    sizes.contains(&segment.bytes) && segment.bytes.is_multiple_of(READ_ALIGN) && segment.live_bytes <= segment.bytes
}
