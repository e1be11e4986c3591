//! Checks by listing alone whether every object that backups need is there and has the right length.
//!
//! This finds lost and truncated objects at the cost of one request per thousand objects. Only the full verification
//! finds flipped bytes.

use super::Sample;
use crate::{Repository, Result};
use septet_format::keys::{self, Key};
use septet_format::{Manifest, SegmentId, VolumeName};
use std::collections::{BTreeSet, HashMap};

/// The objects of one volume and their lengths.
pub struct QuickLook {
    objects: HashMap<String, u64>,
}

impl QuickLook {
    /// Lists a volume.
    pub fn take(repository: &Repository, volume: &VolumeName) -> Result<Self> {
        let objects = repository.store().list(&keys::volume_prefix(volume))?;
        Ok(Self { objects: objects.into_iter().map(|object| (object.key, object.bytes)).collect() })
    }

    /// The problems of a backup's objects, one line each. Segments that the `sample` touches are left out.
    pub fn damage(&self, manifest: &Manifest, sample: Option<&Sample>) -> Vec<String> {
        let is_left = |key: &str, bytes: u64| match (sample, keys::parse(key)) {
            (Some(sample), Some(Key::Segment { volume, backup, number })) => {
                sample.touches(&SegmentId { volume, backup, number }, bytes)
            }
            (sample, _) => sample.is_some(),
        };
        let wrong = |(key, bytes): (String, u64)| match self.objects.get(&key) {
            None => Some(format!("{key:?} is missing")),
            Some(&found) if found != bytes => Some(format!("{key:?} has {found} bytes instead of {bytes}")),
            Some(_) => None,
        };
        needed(manifest).filter(|(key, bytes)| !is_left(key, *bytes)).filter_map(wrong).collect()
    }

    /// The number of segments that the backups need, and the total length of these segments and the tables.
    pub fn covered(&self, manifests: &[Manifest]) -> (u64, u64) {
        let all: BTreeSet<_> = manifests.iter().flat_map(needed).collect();
        let segments = all.iter().filter(|(key, _)| matches!(keys::parse(key), Some(Key::Segment { .. })));
        (segments.count() as u64, all.iter().map(|(_, bytes)| bytes).sum())
    }
}

/// Every object that a backup needs, and its length.
fn needed(manifest: &Manifest) -> impl Iterator<Item = (String, u64)> {
    let tables = [(manifest.checksums_key(), manifest.checksums.bytes), (manifest.map_key(), manifest.map.bytes)];
    let segments = manifest.segment_rows().map(|(_, source, segment)| (source.segment_key(segment), segment.bytes));
    tables.into_iter().chain(segments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    #[test]
    fn what_is_missing_or_of_another_length_is_named() {
        let mut sample = Sample::new();
        let manifests = [sample.backup("b1", None, &[1, 3]), sample.backup("b2", Some("b1"), &[1, 5])];
        let look = || QuickLook::take(&sample.repository, &sample.volume).unwrap();
        assert!(manifests.iter().all(|manifest| look().damage(manifest, None).is_empty()));
        assert!(look().covered(&manifests).0 >= 2);
        sample.write("vol/b1/map-0", b"short");
        sample.remove("vol/b2/checksums-0");
        assert_eq!(look().damage(&manifests[0], None).len(), 1);
        assert!(look().damage(&manifests[0], None)[0].contains("vol/b1/map-0\" has 5 bytes"));
        assert!(look().damage(&manifests[1], None)[0].contains("vol/b2/checksums-0\" is missing"));
        sample.remove("vol/b1/segments/000000");
        assert!(
            manifests.iter().all(|manifest| look().damage(manifest, None).iter().any(|why| why.contains("segments")))
        );
    }
}
