//! The stream that `rbd export-diff` writes and `rbd import-diff` reads, in both of its versions.
//!
//! The stream starts with a banner. Metadata records follow: `f` names the snapshot from which the difference starts,
//! `t` the snapshot to which it leads, and `s` gives the image's size at that snapshot. Then come data (`w`) and zeros
//! (`z`), and `e` at the end. In version 2 each record except the last states its length, so that a reader can skip
//! unknown records. All numbers are little-endian.

mod read;
mod write;

pub(crate) use read::Reader;
pub(crate) use write::Writer;

const BANNER_V1: &[u8] = b"rbd diff v1\n";
const BANNER_V2: &[u8] = b"rbd diff v2\n";
const FROM: u8 = b'f';
const TO: u8 = b't';
const SIZE: u8 = b's';
const WRITE: u8 = b'w';
const ZERO: u8 = b'z';
const END: u8 = b'e';

/// The version of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The format that `rbd export-diff` writes.
    One,
    /// The format of the differences within `rbd export --export-format 2`.
    Two,
}

/// The metadata at the beginning of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The snapshot from which the difference starts; none: from an empty image.
    pub(crate) from: Option<String>,
    /// The snapshot to which the difference leads.
    pub(crate) to: Option<String>,
    /// The image's size at that snapshot, bytes.
    pub(crate) bytes: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head() -> impl Strategy<Value = Head> {
        (proptest::option::of("[a-z]{0,20}"), proptest::option::of("[a-z]{0,20}"), 0u64..1 << 40)
            .prop_map(|(from, to, bytes)| Head { from, to, bytes })
    }

    fn written(version: Version, head: &Head, records: &[(u64, Option<Vec<u8>>)]) -> Vec<u8> {
        let mut stream = Vec::new();
        let mut writer = Writer::new(&mut stream, version, head).unwrap();
        for (offset, data) in records {
            match data {
                Some(data) => writer.data(*offset, data).unwrap(),
                None => writer.zero(*offset, 77).unwrap(),
            }
        }
        writer.finish().unwrap();
        stream
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            two: bool, head in head(),
            records in prop::collection::vec((0u64..1 << 39, proptest::option::of(prop::collection::vec(any::<u8>(), 1..200))), 0..10),
        ) {
            let head = Head { bytes: head.bytes + (1 << 40), ..head };
            let version = if two { Version::Two } else { Version::One };
            let stream = written(version, &head, &records);
            let mut reader = Reader::new(&stream[..]).unwrap();
            prop_assert_eq!(reader.head(), &head);
            for (offset, data) in records {
                let record = reader.next().unwrap().unwrap();
                let length = data.as_ref().map_or(77, |data| data.len() as u64);
                prop_assert_eq!(record.range, offset..offset + length);
                prop_assert_eq!(record.has_data, data.is_some());
                if let Some(data) = data {
                    let mut found = vec![0; data.len()];
                    reader.fill(&mut found).unwrap();
                    prop_assert_eq!(found, data);
                }
            }
            prop_assert_eq!(reader.next().unwrap(), None);
            for end in 0..stream.len() {
                let cut = Reader::new(&stream[..end]).and_then(|mut reader| {
                    while let Some(record) = reader.next()? {
                        let bytes = usize::try_from(record.range.end - record.range.start).unwrap();
                        if record.has_data { reader.fill(&mut vec![0; bytes])?; }
                    }
                    Ok(())
                });
                prop_assert!(cut.is_err(), "cut at {}", end);
            }
        }

        #[test]
        fn garbage_is_refused_and_nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..100), two: bool) {
            let stream = [if two { BANNER_V2 } else { BANNER_V1 }, &bytes].concat();
            if let Ok(mut reader) = Reader::new(&stream[..]) {
                while let Ok(Some(record)) = reader.next() {
                    if record.has_data && reader.skip().is_err() { break; }
                }
            }
        }
    }

    #[test]
    fn an_unknown_record_of_version_2_is_passed_over() {
        let plain = written(Version::Two, &Head { bytes: 100, ..Head::default() }, &[(1, Some(vec![7]))]);
        let protection = [&plain[..12], &[b'p', 1, 0, 0, 0, 0, 0, 0, 0, 1], &plain[12..]].concat();
        let mut reader = Reader::new(&protection[..]).unwrap();
        assert_eq!((reader.head().bytes, reader.next().unwrap().unwrap().range), (100, 1..2));
    }

    #[test]
    fn what_lies_beyond_the_image_is_refused() {
        for offset in [100, 94, u64::MAX - 3] {
            let stream = written(Version::One, &Head { bytes: 100, ..Head::default() }, &[(offset, Some(vec![7; 8]))]);
            let error = Reader::new(&stream[..]).unwrap().next().unwrap_err().to_string();
            assert!(error.contains("beyond the image's 100 bytes"), "{error}");
        }
    }
}
