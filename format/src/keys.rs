//! What each object is called. Keys are made here and taken apart here, and nowhere else.

use crate::{BackupId, VolumeName};

const REPOSITORY: &str = "septet.json";
const MANIFEST: &str = "manifest.json";
const PENDING: &str = "pending";
const JSON: &str = ".json";
const CHECKSUMS: &str = "checksums";
const MAP: &str = "map";
const SEGMENTS: &str = "segments";

/// What a key names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // The fields are what their types say.
pub enum Key {
    /// The repository's description.
    Repository,
    /// A backup's manifest.
    Manifest { volume: VolumeName, backup: BackupId },
    /// That a backup is in the making, and how many times it was resumed.
    Pending { volume: VolumeName, backup: BackupId, resumed: u32 },
    /// A backup's table of hashes.
    Checksums { volume: VolumeName, backup: BackupId },
    /// A backup's table of locations.
    Map { volume: VolumeName, backup: BackupId },
    /// One of a backup's segments.
    Segment { volume: VolumeName, backup: BackupId, number: u32 },
}

/// The repository's description.
pub fn repository() -> String {
    REPOSITORY.to_owned()
}

/// What the keys of all objects of a volume start with.
pub fn volume_prefix(volume: &VolumeName) -> String {
    format!("{volume}/")
}

/// What the keys of all objects of a backup start with.
pub fn backup_prefix(volume: &VolumeName, backup: &BackupId) -> String {
    format!("{volume}/{backup}/")
}

/// A backup's manifest.
pub fn manifest(volume: &VolumeName, backup: &BackupId) -> String {
    format!("{volume}/{backup}/{MANIFEST}")
}

/// That a backup is in the making: `pending.json`, and `pending-1.json` and so on when it is resumed.
pub fn pending(volume: &VolumeName, backup: &BackupId, resumed: u32) -> String {
    format!("{volume}/{backup}/{}", pending_name(resumed))
}

fn pending_name(resumed: u32) -> String {
    if resumed == 0 { format!("{PENDING}{JSON}") } else { format!("{PENDING}-{resumed}{JSON}") }
}

/// Which marker has this name; only one spelling of a number is one.
fn parse_pending(name: &str) -> Option<u32> {
    let number = name.strip_prefix(PENDING)?.strip_suffix(JSON)?;
    let resumed = number.strip_prefix('-').map_or(Some(0), |number| number.parse().ok())?;
    (pending_name(resumed) == name).then_some(resumed)
}

/// A backup's table of hashes.
pub fn checksums(volume: &VolumeName, backup: &BackupId) -> String {
    format!("{volume}/{backup}/{CHECKSUMS}")
}

/// A backup's table of locations.
pub fn map(volume: &VolumeName, backup: &BackupId) -> String {
    format!("{volume}/{backup}/{MAP}")
}

/// What the keys of all segments of a backup start with.
pub fn segments_prefix(volume: &VolumeName, backup: &BackupId) -> String {
    format!("{volume}/{backup}/{SEGMENTS}/")
}

/// One of a backup's segments.
pub fn segment(volume: &VolumeName, backup: &BackupId, number: u32) -> String {
    format!("{volume}/{backup}/{SEGMENTS}/{}", segment_name(number))
}

/// A segment's own name: six decimal digits, more where six do not do.
pub fn segment_name(number: u32) -> String {
    format!("{number:06}")
}

/// Says what `key` names; `None` for whatever Septet never writes.
pub fn parse(key: &str) -> Option<Key> {
    if key == REPOSITORY {
        return Some(Key::Repository);
    }
    let mut parts = key.split('/');
    let volume = parts.next()?.parse().ok()?;
    let backup = parts.next()?.parse().ok()?;
    let parsed = match (parts.next()?, parts.next()) {
        (MANIFEST, None) => Key::Manifest { volume, backup },
        (CHECKSUMS, None) => Key::Checksums { volume, backup },
        (MAP, None) => Key::Map { volume, backup },
        (SEGMENTS, Some(name)) => {
            let number = name.parse().ok()?;
            // Only one spelling: neither "+00001" nor "1" nor "0000001".
            (segment_name(number) == name).then_some(Key::Segment { volume, backup, number })?
        }
        (name, None) => Key::Pending { volume, backup, resumed: parse_pending(name)? },
        _ => return None,
    };
    parts.next().is_none().then_some(parsed)
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
    }

    proptest! {
        #[test]
        fn every_key_is_parsed_back(
            volume in "[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", backup in "[A-Z0-9][a-z.-]{0,20}", number: u32,
        ) {
            let (volume, backup) = (VolumeName::sanitize(&volume), backup.parse::<BackupId>().unwrap());
            let (v, b) = (volume.clone(), backup.clone());
            let of = |key: Key| (key.clone(), match key {
                Key::Repository => repository(),
                Key::Manifest { volume, backup } => manifest(&volume, &backup),
                Key::Pending { volume, backup, resumed } => pending(&volume, &backup, resumed),
                Key::Checksums { volume, backup } => checksums(&volume, &backup),
                Key::Map { volume, backup } => map(&volume, &backup),
                Key::Segment { volume, backup, number } => segment(&volume, &backup, number),
            });
            let keys = [
                Key::Repository,
                Key::Manifest { volume: v.clone(), backup: b.clone() },
                Key::Pending { volume: v.clone(), backup: b.clone(), resumed: number },
                Key::Pending { volume: v.clone(), backup: b.clone(), resumed: 0 },
                Key::Checksums { volume: v.clone(), backup: b.clone() },
                Key::Map { volume: v.clone(), backup: b.clone() },
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
            "v//map",
            "/v/b/map",
            "v/b/map/",
            "v/b/maps",
            "../b/map",
            "v/b/segments",
            "v/b/segments/",
            "v/b/segments/1",
            "v/b/segments/+00001",
            "v/b/segments/0000001",
            "v/b/segments/4294967296",
            "v/b/segments/000001/x",
            "v/latest/map",
            "septet.json/b/map",
            "v/b/manifest.json.partial",
            "v/b/pending-0.json",
            "v/b/pending-01.json",
            "v/b/pending-.json",
            "v/b/pending-1",
            "v/b/pending",
        ] {
            assert_eq!(parse(key), None, "{key}");
        }
    }
}
