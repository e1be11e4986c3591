//! What a run that died has left of its backup, and how another goes on with it.
//!
//! A finished segment never changes, and its own index proves whose it is and what it holds. So the
//! next run of that backup takes the segments over as its own, and numbers its further ones after them
//! ([`pending::resume`] sees to it that only one does). What the map of the finished backup then does
//! not name is garbage like any other.

use crate::parallel::parallel;
use crate::pending;
use crate::{Repository, Result};
use septet_format::keys::{self, Key};
use septet_format::{BackupId, Geometry, IndexEntry, Manifest, Pending, SegmentIndex, SegmentRef, VolumeName};

/// How many indexes are in memory at a time.
const INDEXES_AT_ONCE: usize = 64;

/// A server may still carry out what the run that died had sent last: so many numbers are left out after those
/// that are seen, that no segment is written over.
const IN_FLIGHT_MAX: u32 = 64;

/// A backup that can be gone on with.
#[derive(Clone, Debug, PartialEq)]
pub struct Interrupted {
    /// The marker of the run that died over it.
    pub marker: Pending,
    /// Whether every run that worked on it read the very source that is to be read now.
    pub unchanged: bool,
}

/// The backup that a run may go on with: its run is dead, has compared with the same `parent` and stored
/// something. `backup` is the id that it must have, if any; `snapshot` tells a source that does not change.
pub fn find(
    repository: &Repository,
    volume: &VolumeName,
    backup: Option<&BackupId>,
    parent: Option<&BackupId>,
    snapshot: Option<&str>,
) -> Result<Option<Interrupted>> {
    let mut dead = pending::list(repository, volume)?.pending;
    dead.retain(|marker| {
        backup.is_none_or(|backup| *backup == marker.backup)
            && marker.parent.as_ref() == parent
            && pending::is_dead(marker)
    });
    dead.sort_by_key(|marker| marker.created);
    while let Some(marker) = dead.pop() {
        // Where a marker is missing, somebody has begun to clear up.
        if first_free(repository, volume, &marker.backup)? > 0
            && !repository.exists(volume, &marker.backup)?
            && pending::is_wanted(repository, &marker)?
        {
            let unchanged = snapshot.is_some() && pending::all_read(repository, &marker, snapshot)?;
            return Ok(Some(Interrupted { marker, unchanged }));
        }
    }
    Ok(None)
}

/// The number of the first segment that a run which goes on with the backup may write.
pub fn first_free(repository: &Repository, volume: &VolumeName, backup: &BackupId) -> Result<u32> {
    Ok(numbers(repository, volume, backup)?.last().map_or(0, |last| last.saturating_add(1 + IN_FLIGHT_MAX)))
}

/// The numbers of the backup's segments, in order.
fn numbers(repository: &Repository, volume: &VolumeName, backup: &BackupId) -> Result<Vec<u32>> {
    let objects = repository.store().list(&keys::segments_prefix(volume, backup))?;
    let number = |key: &str| match keys::parse(key)? {
        Key::Segment { number, .. } => Some(number),
        _ => None,
    };
    let mut numbers: Vec<_> = objects.iter().filter_map(|object| number(&object.key)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Takes over the segments below `end`: `take` gets each of their blocks that is a block of the volume as
/// it is now, the newest last. Gives what a manifest says of these segments; one that is damaged, or has
/// blocks of another size, is left out.
pub fn take_over<E: From<crate::RepositoryError>>(
    repository: &Repository,
    (volume, backup): (&VolumeName, &BackupId),
    end: u32,
    geometry: &Geometry,
    mut take: impl FnMut(u32, &IndexEntry) -> Result<(), E>,
) -> Result<Vec<SegmentRef>, E> {
    let mut numbers = numbers(repository, volume, backup)?;
    numbers.retain(|number| *number < end);
    let mut taken = Vec::new();
    let at_once = repository.store().part_rules().parts_in_flight;
    for numbers in numbers.chunks(INDEXES_AT_ONCE) {
        for read in parallel(at_once, numbers, |number| repository.unknown_segment_index(volume, backup, *number)) {
            let (index, segment) = match read {
                Err(error) if error.is_damage() => continue,
                read => read?,
            };
            if index.geometry.block_bytes() == geometry.block_bytes() {
                take_index(&index, geometry, &mut take)?;
                taken.push(segment);
            }
        }
    }
    Ok(taken)
}

fn take_index<E>(
    index: &SegmentIndex,
    geometry: &Geometry,
    take: &mut impl FnMut(u32, &IndexEntry) -> Result<(), E>,
) -> Result<(), E> {
    // A volume may have been cut or grown since: a block of another length is another block.
    let same = |block| geometry.len_bytes(block) == index.geometry.len_bytes(block);
    let mut entries = index.entries.iter().filter(|entry| same(entry.block));
    entries.try_for_each(|entry| take(index.number, entry))
}

/// The keys of the backup's segments that its manifest does not name: what was taken over and is of no use.
pub(crate) fn surplus(repository: &Repository, manifest: &Manifest) -> Result<Vec<String>> {
    let Manifest { volume, backup, .. } = manifest;
    let named = |number| {
        manifest.segment_rows().any(|(_, source, segment)| source.backup == *backup && segment.number == number)
    };
    let surplus = numbers(repository, volume, backup)?.into_iter().filter(|number| !named(*number));
    Ok(surplus.map(|number| keys::segment(volume, backup, number)).collect())
}
