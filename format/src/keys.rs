//! The key of each object. This is the only place that makes and parses keys.

use crate::{BackupId, VolumeName};

/// The highest generation of a manifest or table, and the highest attempt at a backup. Higher numbers in a key are
/// rejected, so an attacker cannot make a run count up to an arbitrary number.
pub const GENERATION_MAX: u32 = 4095;

/// How many segment numbers are reserved for each attempt at a backup. Attempt *k* numbers its segments from *k* × 2²⁰
/// on.
pub const SEGMENTS_PER_ATTEMPT: u32 = 1 << 20;

const REPOSITORY: &str = "septet.json";
const MANIFEST: &str = "manifest";
const PENDING: &str = "pending";
const JSON: &str = ".json";
const CHECKSUMS: &str = "checksums";
const MAP: &str = "map";
const SEGMENTS: &str = "segments";

/// The object that a key names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // The fields are what their types say.
pub enum Key {
    /// The repository's description.
    Repository,
    /// A generation of a backup's manifest, or the tombstone in its place.
    Manifest { volume: VolumeName, backup: BackupId, generation: u32 },
    /// The marker of an unfinished attempt at a backup.
    Pending { volume: VolumeName, backup: BackupId, attempt: u32 },
    /// A generation of a backup's table of checksums.
    Checksums { volume: VolumeName, backup: BackupId, generation: u32 },
    /// A generation of a backup's table of locations.
    Map { volume: VolumeName, backup: BackupId, generation: u32 },
    /// One of a backup's segments.
    Segment { volume: VolumeName, backup: BackupId, number: u32 },
}

/// The repository's description.
pub fn repository() -> String {
    REPOSITORY.to_owned()
}

/// The prefix of the keys of all objects of a volume.
pub fn volume_prefix(volume: &VolumeName) -> String {
    format!("{volume}/")
}

/// The prefix of the keys of all objects of a backup.
pub fn backup_prefix(volume: &VolumeName, backup: &BackupId) -> String {
    format!("{volume}/{backup}/")
}

/// A generation of a backup's manifest.
pub fn manifest(volume: &VolumeName, backup: &BackupId, generation: u32) -> String {
    format!("{volume}/{backup}/{MANIFEST}-{generation}{JSON}")
}

/// The marker of an unfinished attempt at a backup.
pub fn pending(volume: &VolumeName, backup: &BackupId, attempt: u32) -> String {
    format!("{volume}/{backup}/{PENDING}-{attempt}{JSON}")
}

/// A generation of a backup's table of checksums.
pub fn checksums(volume: &VolumeName, backup: &BackupId, generation: u32) -> String {
    format!("{volume}/{backup}/{CHECKSUMS}-{generation}")
}

/// A generation of a backup's table of locations.
pub fn map(volume: &VolumeName, backup: &BackupId, generation: u32) -> String {
    format!("{volume}/{backup}/{MAP}-{generation}")
}

/// The prefix of the keys of all segments of a backup.
pub fn segments_prefix(volume: &VolumeName, backup: &BackupId) -> String {
    format!("{volume}/{backup}/{SEGMENTS}/")
}

/// One of a backup's segments.
pub fn segment(volume: &VolumeName, backup: &BackupId, number: u32) -> String {
    format!("{volume}/{backup}/{SEGMENTS}/{}", segment_name(number))
}

/// The last part of a segment's key: its number with at least six decimal digits.
pub fn segment_name(number: u32) -> String {
    format!("{number:06}")
}

/// The number of the first segment that an attempt at a backup writes. `None` beyond the last attempt.
pub fn first_segment(attempt: u32) -> Option<u32> {
    (attempt <= GENERATION_MAX).then(|| attempt * SEGMENTS_PER_ATTEMPT)
}

/// Parses a key. `None` if Septet never writes such a key.
pub fn parse(key: &str) -> Option<Key> {
    if key == REPOSITORY {
        return Some(Key::Repository);
    }
    let mut parts = key.split('/');
    let volume = parts.next()?.parse().ok()?;
    let backup = parts.next()?.parse().ok()?;
    let parsed = match (parts.next()?, parts.next()) {
        (SEGMENTS, Some(name)) => {
            let number = name.parse().ok()?;
            // Each number has only one spelling: "000001", not "+00001", "1" or "0000001".
            (segment_name(number) == name).then_some(Key::Segment { volume, backup, number })?
        }
        (name, None) => parse_numbered(volume, backup, name)?,
        _ => return None,
    };
    parts.next().is_none().then_some(parsed)
}

/// `manifest-0.json`, `pending-0.json`, `checksums-0`, `map-0`.
fn parse_numbered(volume: VolumeName, backup: BackupId, name: &str) -> Option<Key> {
    let (stem, is_json) = name.strip_suffix(JSON).map_or((name, false), |stem| (stem, true));
    let (kind, digits) = stem.split_once('-')?;
    let generation = parse_number(digits)?;
    match (kind, is_json) {
        (MANIFEST, true) => Some(Key::Manifest { volume, backup, generation }),
        (PENDING, true) => Some(Key::Pending { volume, backup, attempt: generation }),
        (CHECKSUMS, false) => Some(Key::Checksums { volume, backup, generation }),
        (MAP, false) => Some(Key::Map { volume, backup, generation }),
        _ => None,
    }
}

/// A number from 0 to [`GENERATION_MAX`] in its only spelling, without a sign or leading zeros.
fn parse_number(digits: &str) -> Option<u32> {
    let number: u32 = digits.parse().ok()?;
    (number <= GENERATION_MAX && number.to_string() == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_what_format_md_says() {
        let (v, b) = ("vol".parse().unwrap(), "b1".parse().unwrap());
        assert_eq!(repository(), "septet.json");
        assert_eq!(volume_prefix(&v), "vol/");
        assert_eq!(backup_prefix(&v, &b), "vol/b1/");
        assert_eq!(segments_prefix(&v, &b), "vol/b1/segments/");
        assert_eq!(segment(&v, &b, 42), "vol/b1/segments/000042");
        assert_eq!(segment_name(1_000_000), "1000000");
        assert_eq!(manifest(&v, &b, 0), "vol/b1/manifest-0.json");
        assert_eq!(pending(&v, &b, 12), "vol/b1/pending-12.json");
        assert_eq!(
            (checksums(&v, &b, 3), map(&v, &b, 0)),
            ("vol/b1/checksums-3".to_owned(), "vol/b1/map-0".to_owned())
        );
    }

    #[test]
    fn every_attempt_has_segment_numbers_of_its_own() {
        assert_eq!((first_segment(0), first_segment(1)), (Some(0), Some(1 << 20)));
        let last = first_segment(GENERATION_MAX).unwrap();
        assert_eq!(last.checked_add(SEGMENTS_PER_ATTEMPT - 1), Some(u32::MAX));
        assert_eq!(first_segment(GENERATION_MAX + 1), None);
    }

    proptest! {
        #[test]
        fn every_key_is_parsed_back(
            volume in "[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", backup in "[A-Z0-9][a-z.-]{0,20}", number: u32,
            generation in 0..=GENERATION_MAX,
        ) {
            let (volume, backup) = (VolumeName::sanitize(&volume), backup.parse::<BackupId>().unwrap());
            let (v, b) = (volume.clone(), backup.clone());
            let of = |key: Key| (key.clone(), match key {
                Key::Repository => repository(),
                Key::Manifest { volume, backup, generation } => manifest(&volume, &backup, generation),
                Key::Pending { volume, backup, attempt } => pending(&volume, &backup, attempt),
                Key::Checksums { volume, backup, generation } => checksums(&volume, &backup, generation),
                Key::Map { volume, backup, generation } => map(&volume, &backup, generation),
                Key::Segment { volume, backup, number } => segment(&volume, &backup, number),
            });
            let keys = [
                Key::Repository,
                Key::Manifest { volume: v.clone(), backup: b.clone(), generation },
                Key::Pending { volume: v.clone(), backup: b.clone(), attempt: generation },
                Key::Checksums { volume: v.clone(), backup: b.clone(), generation },
                Key::Map { volume: v.clone(), backup: b.clone(), generation },
                Key::Segment { volume: v, backup: b, number },
            ];
            for (key, text) in keys.map(of) {
                prop_assert_eq!(parse(&text), Some(key));
            }
        }
    }

    #[test]
    fn whatever_septet_never_writes_is_nothing() {
        for key in [
            "",
            "/",
            "v",
            "v/b",
            "v/b/",
            "v//map-0",
            "/v/b/map-0",
            "v/b/map-0/",
            "v/b/map",
            "v/b/map-",
            "v/b/map-00",
            "v/b/map-01",
            "v/b/map-+1",
            "v/b/map--1",
            "v/b/map-4096",
            "v/b/map-4294967296",
            "v/b/map-0.json",
            "v/b/maps-0",
            "../b/map-0",
            "s3.json",
            "keys/0123.json",
            "v/journal/map-0",
            "v/b/segments",
            "v/b/segments/",
            "v/b/segments/1",
            "v/b/segments/+00001",
            "v/b/segments/0000001",
            "v/b/segments/4294967296",
            "v/b/segments/000001/x",
            "v/latest/map-0",
            "septet.json/b/map-0",
            "v/b/manifest.json",
            "v/b/manifest-0",
            "v/b/manifest-0.json.partial",
            "v/b/manifest-4096.json",
            "v/b/pending.json",
            "v/b/pending-01.json",
            "v/b/pending-.json",
            "v/b/pending-4096.json",
            "v/b/pending-1",
            "v/b/pending",
        ] {
            assert_eq!(parse(key), None, "{key}");
        }
    }
}
