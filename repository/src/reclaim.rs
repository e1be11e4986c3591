//! Decides what may be deleted from a volume: everything that no backup needs. Backups and other deletions may run at
//! the same time, without a lock.
//!
//! A backup B with parent P writes its marker, *then* looks for P's manifest and gives up if it is gone
//! ([`crate::pending::begin`]). After that B writes objects, commits its manifest, and removes the marker. A deletion
//! of P puts a tombstone above P's manifest, *then* takes a [`Survey`]. The survey looks three times, and each look
//! begins after the previous one has ended: first at objects and manifests, then at markers, then at the manifests that
//! have been added. Hence:
//! - An object of B that the first look lists was written after B's marker. The second look sees the marker, unless it
//!   was removed before. In that case either B has committed and the third look sees B's manifest, or a tombstone ended
//!   B.
//! - B uses P's segments only if it saw P's manifest after writing its marker. If the first look doesn't see P as a
//!   backup, then some run deleted P before that look. So the marker is older than the second look. The second look
//!   sees the marker, or else the third look sees B's manifest.
//! - P's manifest may be gone when B's marker is seen. Then it is unknown what B needs, and every segment stays. Every
//!   segment also stays while any manifest or marker can't be read. The next deletion finds what stayed too long,
//!   because the only state is what is in the store.
//!
//! If the *first* look sees that an attempt can't commit any more (a record of its generation or a higher one is
//! there), then this attempt needs nothing. A run that took it over wrote its own marker before that record, so the
//! second look sees that marker. A run that doesn't know yet that it was ended continues to write objects, which the
//! next deletion finds. It fails when it commits ([`crate::pending::check_current`], and then the key is taken).
//!
//! No key is used twice within a day after a run decided to delete it (the module `tombstone` explains how). So no key is
//! rewritten after the survey has seen it, and no manifest names an object that a server writes or deletes late.

use crate::contents::Contents;
use crate::markers::Markers;
use crate::{Listing, Repository, Result, tombstone};
use septet_format::keys::{self, Key};
use septet_format::{BackupId, Manifest, VolumeName};
use std::collections::HashSet;

pub use crate::tombstone::{delete, delete_all, forget};

/// The state of a volume, read in the order that makes decisions safe.
#[derive(Debug, Default)]
pub struct Survey {
    /// The first look: all objects.
    contents: Contents,
    /// The backups seen in the first or the third look.
    backups: Listing,
    /// The backups being made.
    markers: Markers,
    /// Older generations of manifests, which no backup needs.
    outdated: Vec<String>,
}

impl Survey {
    /// Reads the state of a volume. The tombstones of backups that are to be deleted must already exist. An error if
    /// only a later version may change one of the backups.
    pub fn take(repository: &Repository, volume: &VolumeName) -> Result<Self> {
        let contents = Contents::of_volume(repository, volume)?;
        let mut backups = repository.backups_in(volume, &contents)?;
        // Only a later version knows what such a backup needs.
        for manifest in &backups.manifests {
            repository.check_writable(manifest)?;
        }
        let outdated = tombstone::outdated(repository, volume, &contents)?;
        let markers = Markers::in_listing(repository, volume, &Contents::of_volume(repository, volume)?)?;
        repository.add_backups(volume, &Contents::of_volume(repository, volume)?, &mut backups)?;
        Ok(Survey { contents, backups, markers, outdated })
    }
}

/// The keys that may be deleted. `deleted` are the manifests of backups that this run has just deleted. They keep
/// nothing alive, but they show what an unfinished backup with such a parent needs.
pub fn plan(survey: &Survey, deleted: &[Manifest]) -> Vec<String> {
    let needs = Needs::new(survey, deleted);
    let may_go = |key: &&String| match keys::parse(key) {
        Some(Key::Segment { backup, number, .. }) => !needs.segment(&backup, number),
        Some(Key::Checksums { backup, .. } | Key::Map { backup, .. }) => !needs.table(&backup, key),
        // Manifests and markers have their own rules; foreign objects stay.
        Some(Key::Manifest { .. } | Key::Pending { .. } | Key::Repository) | None => false,
    };
    let keys = survey.contents.objects.iter().map(|object| &object.key);
    survey.outdated.iter().chain(keys.filter(may_go)).cloned().collect()
}

/// Deletes what a volume no longer needs, after [`delete`] has ended the backups of `deleted`. Returns the keys.
/// Expired tombstones are removed too.
pub fn run(repository: &Repository, volume: &VolumeName, deleted: &[Manifest]) -> Result<Vec<String>> {
    let survey = Survey::take(repository, volume)?;
    let keys = plan(&survey, deleted);
    repository.store().delete(&keys)?;
    expire(repository, volume, &survey)?;
    Ok(keys)
}

/// Removes expired tombstones and returns their keys.
pub fn expire(repository: &Repository, volume: &VolumeName, survey: &Survey) -> Result<Vec<String>> {
    tombstone::expire(repository, volume, &survey.contents)
}

/// The objects that must stay.
struct Needs<'survey> {
    /// Something is unknown, so every segment must stay.
    every_segment: bool,
    segments: HashSet<(&'survey BackupId, u32)>,
    /// The tables that manifests name.
    tables: HashSet<String>,
    /// Backups whose tables all stay: unreadable ones, unfinished ones, and the parents of these.
    every_table_of: HashSet<&'survey BackupId>,
    /// Unfinished backups: everything that they have written so far stays.
    in_the_making: HashSet<&'survey BackupId>,
}

impl<'survey> Needs<'survey> {
    fn new(survey: &'survey Survey, deleted: &'survey [Manifest]) -> Self {
        let Survey { contents, backups, markers, .. } = survey;
        let is_closed = |backup, attempt| contents.backups.get(backup).is_some_and(|under| under.is_closed(attempt));
        let pending = markers.pending.iter().filter(|marker| !is_closed(&marker.backup, marker.attempt));
        let pending: Vec<_> = pending.collect();
        let unreadable = markers.unreadable.iter().map(|(backup, _)| backup);
        let parents: Vec<_> = pending.iter().filter_map(|marker| marker.parent.as_ref()).collect();
        let known = |backup: &BackupId| backups.manifests.iter().chain(deleted).find(|known| known.backup == *backup);
        let damaged = backups.damaged.iter().map(|(backup, _)| backup);

        let in_the_making: HashSet<_> = pending.iter().map(|marker| &marker.backup).chain(unreadable).collect();
        let every_table_of = damaged.chain(parents.iter().copied()).chain(in_the_making.iter().copied()).collect();
        let tables = backups.manifests.iter().flat_map(|manifest| [manifest.checksums_key(), manifest.map_key()]);
        let needed = backups.manifests.iter().chain(parents.iter().filter_map(|parent| known(parent)));
        let every_segment = !backups.damaged.is_empty()
            || !markers.unreadable.is_empty()
            || parents.iter().any(|parent| known(parent).is_none());
        let segments = needed.flat_map(|manifest| manifest.segment_rows());
        let segments = segments.map(|(_, source, segment)| (&source.backup, segment.number)).collect();
        Needs { every_segment, segments, tables: tables.collect(), every_table_of, in_the_making }
    }

    fn segment(&self, backup: &BackupId, number: u32) -> bool {
        self.every_segment || self.in_the_making.contains(backup) || self.segments.contains(&(backup, number))
    }

    fn table(&self, backup: &BackupId, key: &str) -> bool {
        self.every_table_of.contains(backup) || self.tables.contains(key)
    }
}

#[cfg(test)]
mod tests;
