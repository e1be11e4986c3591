//! What an interrupted run stored of its backup, and how another run resumes it.
//!
//! A finished segment never changes. Its own index proves to which backup it belongs and what it holds. So the next run
//! of that backup takes the segments over as its own ([`crate::pending::resume`] ensures that only one run does). The new
//! segments get numbers that only its attempt uses. Segments that the map of the finished backup does not use are
//! ordinary garbage.

use crate::contents::Under;
use crate::markers;
use crate::parallel::parallel;
use crate::tombstone::ATTEMPT_MAX;
use crate::{Repository, Result, VolumeView};
use septet_format::keys::{self, SEGMENTS_PER_ATTEMPT};
use septet_format::{BackupId, Geometry, IndexEntry, Manifest, Pending, SegmentIndex, SegmentRef, VolumeName};
use std::collections::BTreeSet;

/// The number of indexes in memory at a time.
const INDEXES_AT_ONCE: usize = 64;

/// An interrupted backup that can be resumed.
#[derive(Clone, Debug, PartialEq)]
pub struct Interrupted {
    /// The marker of the run that died.
    pub marker: Pending,
    /// Whether every run that worked on it read the same source that is to be read now.
    pub unchanged: bool,
}

/// Finds a backup that a run of a volume may resume. Its run is dead, had the same `parent` and stored segments.
/// `backup` is the required id, if any. `snapshot` identifies a source that does not change.
pub fn find(
    repository: &Repository,
    view: &VolumeView,
    backup: Option<&BackupId>,
    parent: Option<&BackupId>,
    snapshot: Option<&str>,
) -> Result<Option<Interrupted>> {
    let mut dead: Vec<_> = view.markers.pending.iter().collect();
    dead.retain(|marker| {
        backup.is_none_or(|backup| *backup == marker.backup)
            && marker.parent.as_ref() == parent
            && marker.attempt < ATTEMPT_MAX
            && markers::is_dead(marker)
    });
    dead.sort_by_key(|marker| marker.created);
    while let Some(marker) = dead.pop() {
        let Some(under) = view.contents.backups.get(&marker.backup) else { continue };
        if !under.segments.is_empty() && !under.is_closed(marker.attempt) {
            let unchanged = snapshot.is_some() && all_read(repository, marker, under, snapshot)?;
            return Ok(Some(Interrupted { marker: marker.clone(), unchanged }));
        }
    }
    Ok(None)
}

/// Whether all attempts so far, including those whose segments exist, recorded that they read this same source.
fn all_read(repository: &Repository, marker: &Pending, under: &Under, snapshot: Option<&str>) -> Result<bool> {
    let of_segments = under.segments.iter().map(|number| number / SEGMENTS_PER_ATTEMPT);
    let attempts: BTreeSet<_> = of_segments.chain(under.attempts.iter().copied()).collect();
    for attempt in attempts {
        let of = markers::read_one(repository, &marker.volume, &marker.backup, attempt)?;
        if of.is_none_or(|of| of.snapshot.as_deref() != snapshot) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Takes over the segments below `end`. `take` gets each of their blocks that is a block of the current volume, the
/// newest last, and the index of its segment in the result. The result is what a manifest states about these segments,
/// ordered by number. Segments that are damaged or have another block size are left out.
pub fn take_over<E: From<crate::RepositoryError>>(
    repository: &Repository,
    (volume, backup): (&VolumeName, &BackupId),
    end: u32,
    geometry: &Geometry,
    mut take: impl FnMut(u32, &IndexEntry) -> Result<(), E>,
) -> Result<Vec<SegmentRef>, E> {
    let under = Under::list(repository, volume, backup)?;
    let numbers: Vec<_> = under.segments.range(..end).copied().collect();
    let mut taken = Vec::new();
    let at_once = repository.store().part_rules().parts_in_flight;
    for numbers in numbers.chunks(INDEXES_AT_ONCE) {
        for read in parallel(at_once, numbers, |number| repository.unknown_segment_index(volume, backup, *number)) {
            let (index, segment) = match read {
                Err(error) if error.is_damage() => continue,
                read => read?,
            };
            if index.geometry.block_bytes() == geometry.block_bytes() {
                let at = u32::try_from(taken.len()).unwrap_or(u32::MAX);
                take_index(&index, geometry, |entry| take(at, entry))?;
                taken.push(segment);
            }
        }
    }
    Ok(taken)
}

fn take_index<E>(
    index: &SegmentIndex,
    geometry: &Geometry,
    take: impl FnMut(&IndexEntry) -> Result<(), E>,
) -> Result<(), E> {
    // The volume may have been resized since: a block of another length is a different block.
    let same = |block| geometry.len_bytes(block) == index.geometry.len_bytes(block);
    index.entries.iter().filter(|entry| same(entry.block)).try_for_each(take)
}

/// The keys of the backup's segments and tables that its manifest does not name: unused objects of earlier attempts.
pub(crate) fn surplus(manifest: &Manifest, under: &Under) -> Vec<String> {
    let Manifest { volume, backup, .. } = manifest;
    let own = manifest.segment_rows().filter(|(_, source, _)| source.backup == *backup);
    let named: BTreeSet<_> = own.map(|(_, _, segment)| segment.number).collect();
    let segments = under.segments.difference(&named).map(|number| keys::segment(volume, backup, *number));
    let tables = [manifest.checksums_key(), manifest.map_key()];
    segments.chain(under.tables.iter().filter(|key| !tables.contains(key)).cloned()).collect()
}
