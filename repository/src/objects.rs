//! Operations of agents and commands on single objects of a repository. No other crate knows its store or its keys.

use std::sync::Arc;

use bytes::Bytes;
use septet_format::{BackupId, VolumeName, keys};
use septet_store::{Counts, PartRules, Store, Upload};

use crate::{Repository, Result};

/// Writes the segments of a backup that is being made. Opening it reads nothing, because the process that started the
/// run has already opened the repository.
#[derive(Clone)]
pub struct SegmentSink(Arc<dyn Store>);

impl SegmentSink {
    /// Opens the repository's store by a URL of [`Repository::url_for_writers`].
    pub fn open(url: &str) -> Result<Self> {
        Ok(Self(septet_store::open_handed_on(url)?))
    }

    /// The store's rules for the sizes of parts.
    pub fn part_rules(&self) -> PartRules {
        self.0.part_rules()
    }

    /// What was written and sent since it was opened.
    pub fn counts(&self) -> Counts {
        self.0.counts()
    }

    /// Starts a segment.
    pub fn new_segment(&self, volume: &VolumeName, backup: &BackupId, number: u32) -> Result<SegmentUpload> {
        Ok(SegmentUpload(self.0.upload(&keys::segment(volume, backup, number))?))
    }
}

/// The upload of a segment in parts. If it is dropped unfinished, nothing is left.
pub struct SegmentUpload(Box<dyn Upload>);

impl SegmentUpload {
    /// Writes part `number` (0, 1, 2 …) with the bytes from `offset_bytes` on; see [`Upload::put_part`].
    pub fn put_part(&self, number: u32, offset_bytes: u64, body: Vec<Bytes>) -> Result<()> {
        Ok(self.0.put_part(number, offset_bytes, body)?)
    }

    /// Makes the segment visible, durably.
    pub fn finish(&self) -> Result<()> {
        Ok(self.0.finish()?)
    }
}

impl Repository {
    /// The repository's place, in a form that [`open`](Self::open) accepts. It contains no secrets.
    pub fn url(&self) -> String {
        self.store().url()
    }

    /// Adds settings to `url`, under which this repository was opened, so that an agent that writes need not ask the
    /// server for them again.
    pub fn url_for_writers(&self, url: &str) -> Result<String> {
        let plain = self.store().url();
        let full = self.store().url_for_writers()?;
        Ok(if full == plain { url.to_owned() } else { full })
    }

    /// What was written and sent since the repository was opened.
    pub fn counts(&self) -> Counts {
        self.store().counts()
    }

    /// The store's rules for the sizes of parts and reads.
    pub fn part_rules(&self) -> PartRules {
        self.store().part_rules()
    }

    /// A note for the user about the protection of uploads in transit; none if there is nothing to note.
    pub fn upload_note(&self) -> Result<Option<String>> {
        Ok(self.store().note()?)
    }

    /// Fills `into` with a segment's bytes from `offset_bytes` on. They are not verified here.
    pub fn read_segment(
        &self,
        (volume, backup, number): (&VolumeName, &BackupId, u32),
        offset_bytes: u64,
        into: &mut [u8],
    ) -> Result<()> {
        Ok(self.store().read_at(&keys::segment(volume, backup, number), offset_bytes, into)?)
    }

    /// Removes objects that a [plan](crate::reclaim::plan) found to be garbage.
    pub fn delete_garbage(&self, keys: &[String]) -> Result<()> {
        Ok(self.store().delete(keys)?)
    }

    /// The keys of all objects of a volume.
    pub fn objects_of(&self, volume: &VolumeName) -> Result<Vec<String>> {
        let objects = self.store().list(&keys::volume_prefix(volume))?;
        Ok(objects.into_iter().map(|object| object.key).collect())
    }
}
