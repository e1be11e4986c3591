//! What may be deleted of a volume: all that no backup needs, beside backups being made and other
//! deletions running at the same time, without a lock.
//!
//! A backup B with parent P writes its marker, *then* looks for P's manifest and gives up if it is
//! gone ([`pending::begin`]); it writes objects, commits its manifest, and
//! removes the marker. Whoever deletes P removes P's manifest, *then* takes a [`Survey`]: objects,
//! manifests, markers, and once more the manifests that have been added. Hence:
//! - An object of B that the survey lists was written after B's marker. The later look at the
//!   markers sees it, unless B has committed by then: then the second look at manifests sees B.
//! - B uses P's segments only if it saw P's manifest after writing its marker. If the survey's first
//!   look at manifests doesn't see P, P's manifest was removed in between, by whomever; so the
//!   marker is older than the look at the markers, which sees it, or else B's manifest is seen.
//! - P's manifest may be gone when B's marker is seen, and with it the knowledge of what B needs:
//!   then every segment stays, and so it does while any manifest or marker can't be read. What
//!   stays too long is found by the next deletion: nothing is remembered but what is in the store.
//!
//! An id is never used again while anything lies under it, so no key is rewritten behind the survey.

use crate::pending::{self, Markers};
use crate::{Listing, Repository, Result};
use septet_format::keys::{self, Key};
use septet_format::{BackupId, Manifest, VolumeName};
use std::collections::HashSet;

/// What lay in a volume, looked at in the order that makes it safe to decide upon.
#[derive(Debug, Default)]
pub struct Survey {
    /// The keys of all objects.
    pub objects: Vec<String>,
    /// The manifests seen at the first or at the second look.
    pub backups: Listing,
    /// The backups being made.
    pub markers: Markers,
}

impl Survey {
    /// Looks at a volume. The manifests that are to be deleted must be gone already.
    pub fn take(repository: &Repository, volume: &VolumeName) -> Result<Self> {
        let objects = repository.store().list(&keys::volume_prefix(volume))?;
        let objects = objects.into_iter().map(|object| object.key).collect();
        let mut backups = repository.backups(volume)?;
        let markers = pending::list(repository, volume)?;
        repository.add_backups(volume, &mut backups)?;
        Ok(Survey { objects, backups, markers })
    }
}

/// The keys that may be deleted. `deleted` are manifests whose backups this run has just deleted:
/// they keep nothing alive, but tell what a backup being made on one of them needs.
pub fn plan(survey: &Survey, deleted: &[Manifest]) -> Vec<String> {
    let needs = Needs::new(survey, deleted);
    let may_go = |key: &&String| match keys::parse(key) {
        Some(Key::Segment { backup, number, .. }) => !needs.segment(&backup, number),
        Some(Key::Checksums { backup, .. } | Key::Map { backup, .. }) => !needs.tables(&backup),
        // Manifests and markers go by their own rules; what is not ours stays.
        Some(Key::Manifest { .. } | Key::Pending { .. } | Key::Repository) | None => false,
    };
    survey.objects.iter().filter(may_go).cloned().collect()
}

/// Deletes what a volume no longer needs, after the manifests of `deleted` have been removed;
/// gives the keys.
pub fn run(repository: &Repository, volume: &VolumeName, deleted: &[Manifest]) -> Result<Vec<String>> {
    let keys = plan(&Survey::take(repository, volume)?, deleted);
    repository.store().delete(&keys)?;
    Ok(keys)
}

/// What must stay.
struct Needs<'survey> {
    /// Something isn't known: no segment may go.
    every_segment: bool,
    segments: HashSet<(&'survey BackupId, u32)>,
    /// Backups whose own tables stay: those that exist, are being made, or are a parent of such.
    tables: HashSet<&'survey BackupId>,
    /// Backups being made: what they have written so far stays.
    in_the_making: HashSet<&'survey BackupId>,
}

impl<'survey> Needs<'survey> {
    fn new(survey: &'survey Survey, deleted: &'survey [Manifest]) -> Self {
        let Survey { backups, markers, .. } = survey;
        let (pending, unreadable) = (&markers.pending, markers.unreadable.iter().map(|(backup, _)| backup));
        let parents: Vec<_> = pending.iter().filter_map(|marker| marker.parent.as_ref()).collect();
        let known = |backup: &BackupId| backups.manifests.iter().chain(deleted).find(|known| known.backup == *backup);
        let damaged = backups.damaged.iter().map(|(backup, _)| backup);

        let in_the_making: HashSet<_> = pending.iter().map(|marker| &marker.backup).chain(unreadable).collect();
        let existing = backups.manifests.iter().map(|manifest| &manifest.backup).chain(damaged);
        let tables = existing.chain(parents.iter().copied()).chain(in_the_making.iter().copied()).collect();
        let needed = backups.manifests.iter().chain(parents.iter().filter_map(|parent| known(parent)));
        let every_segment = !backups.damaged.is_empty()
            || !markers.unreadable.is_empty()
            || parents.iter().any(|parent| known(parent).is_none());
        let segments = needed.flat_map(|manifest| manifest.segment_rows());
        let segments = segments.map(|(_, source, segment)| (&source.backup, segment.number)).collect();
        Needs { every_segment, segments, tables, in_the_making }
    }

    fn segment(&self, backup: &BackupId, number: u32) -> bool {
        self.every_segment || self.in_the_making.contains(backup) || self.segments.contains(&(backup, number))
    }

    fn tables(&self, backup: &BackupId) -> bool {
        self.tables.contains(backup)
    }
}

#[cfg(test)]
mod tests;
