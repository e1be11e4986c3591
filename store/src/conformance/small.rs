//! Small objects: put, get, ranges, conditions, deletion, hostile keys.

use super::parts::{Case, children, keys, kind, pattern, read};
use crate::{Store, StoreErrorKind};
use bytes::Bytes;
use std::sync::Barrier;

pub(super) const CASES: &[Case] = &[
    ("an object comes back as it was put", round_trip),
    ("an empty object is an object", empty),
    ("put replaces, also for one who has read before", put_replaces),
    ("what is absent is not found", absent),
    ("get refuses what is larger than expected", get_is_bounded),
    ("ranges are exact or damaged", ranges),
    ("put_if_absent doesn't touch what is there", put_if_absent),
    ("of sixteen writers exactly one wins", one_winner),
    ("delete is idempotent and leaves the others", delete),
    ("writers and deleters of one folder don't hurt each other", create_while_deleting),
    ("hostile keys are refused everywhere", hostile_keys),
];

fn round_trip(store: &dyn Store) {
    let body = pattern(100_001);
    store.put("volume/backup/segments/000000", Bytes::from(body.clone())).unwrap();
    assert_eq!(store.get("volume/backup/segments/000000", 100_001).unwrap(), body);
    assert_eq!(store.len("volume/backup/segments/000000").unwrap(), 100_001);
    for key in ["top.json", "with space/and é/ü+%41?#&=.json", "...", "a~b/..c"] {
        store.put(key, Bytes::from(key.to_owned())).unwrap();
        assert_eq!(store.get(key, 1000).unwrap(), key.as_bytes());
        assert!(keys(store, "").contains(&key.to_owned()), "{key:?} is not listed");
    }
}

fn empty(store: &dyn Store) {
    store.put("a/empty", Bytes::new()).unwrap();
    store.put_if_absent("a/also", Bytes::new()).unwrap();
    assert_eq!(store.get("a/empty", 0).unwrap(), b"");
    assert_eq!(store.len("a/also").unwrap(), 0);
    store.read_at("a/empty", 0, &mut []).unwrap();
    assert_eq!(kind(store.read_at("a/empty", 0, &mut [0])), StoreErrorKind::Damaged);
}

fn put_replaces(store: &dyn Store) {
    store.put("a", Bytes::from_static(b"first and long")).unwrap();
    assert_eq!(read(store, "a", 0, 5, 1).unwrap(), b"first");
    store.put("a", Bytes::from_static(b"second")).unwrap();
    assert_eq!(store.get("a", 100).unwrap(), b"second");
    assert_eq!(read(store, "a", 0, 6, 1).unwrap(), b"second");
    store.delete(&["a".to_owned()]).unwrap();
    assert_eq!(kind(read(store, "a", 0, 6, 1)), StoreErrorKind::NotFound);
}

fn absent(store: &dyn Store) {
    store.put("there/is/one", Bytes::from_static(b"x")).unwrap();
    for key in ["none", "there/none", "there/is", "there/is/one/below"] {
        assert_eq!(kind(store.get(key, 10)), StoreErrorKind::NotFound, "{key}");
        assert_eq!(kind(store.len(key)), StoreErrorKind::NotFound, "{key}");
        assert_eq!(kind(store.read_at(key, 0, &mut [0])), StoreErrorKind::NotFound, "{key}");
    }
}

fn get_is_bounded(store: &dyn Store) {
    store.put("a", Bytes::from(pattern(1001))).unwrap();
    assert_eq!(kind(store.get("a", 1000)), StoreErrorKind::Damaged);
    assert_eq!(store.get("a", 1001).unwrap().len(), 1001);
}

fn ranges(store: &dyn Store) {
    let body = pattern(3 * 4096 + 100);
    store.put("a", Bytes::from(body.clone())).unwrap();
    let ranges = [(0, 1), (0, 4096), (4096, 8192), (4097, 5000), (8192, 4096), (12_288, 100), (12_388, 0)];
    for (offset, bytes) in ranges {
        for shift in [0, 1, 512] {
            assert_eq!(read(store, "a", offset, bytes, shift).unwrap(), &body[offset..offset + bytes]);
        }
    }
    for (offset, bytes) in [(0, 16_384), (12_288, 101), (12_288, 4096), (12_389, 1), (1 << 40, 4096)] {
        assert_eq!(kind(read(store, "a", offset, bytes, 0)), StoreErrorKind::Damaged, "{offset}+{bytes}");
    }
    assert_eq!(kind(store.read_at("a", u64::MAX, &mut [0])), StoreErrorKind::Damaged);
}

fn put_if_absent(store: &dyn Store) {
    store.put_if_absent("a/b", Bytes::from_static(b"first")).unwrap();
    assert_eq!(kind(store.put_if_absent("a/b", Bytes::from_static(b"second"))), StoreErrorKind::AlreadyExists);
    assert_eq!(store.get("a/b", 100).unwrap(), b"first");
    assert_eq!(keys(store, ""), ["a/b"]);
    store.delete(&["a/b".to_owned()]).unwrap();
    store.put_if_absent("a/b", Bytes::from_static(b"third")).unwrap();
    assert_eq!(store.get("a/b", 100).unwrap(), b"third");
}

fn one_winner(store: &dyn Store) {
    const WRITERS: u8 = 16;
    let barrier = Barrier::new(WRITERS.into());
    let write = |writer: u8| {
        let body = Bytes::from(vec![writer; 5000]);
        barrier.wait();
        store.put_if_absent("race/manifest.json", body)
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let write = &write;
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let winners: Vec<u8> = (0..WRITERS).filter(|writer| results[usize::from(*writer)].is_ok()).collect();
    assert_eq!(winners.len(), 1, "winners: {winners:?}");
    assert_eq!(store.get("race/manifest.json", 5000).unwrap(), vec![winners[0]; 5000]);
    for lost in results.into_iter().filter_map(Result::err) {
        assert_eq!(lost.kind(), StoreErrorKind::AlreadyExists, "{lost}");
    }
    assert_eq!(keys(store, ""), ["race/manifest.json"]);
}

fn delete(store: &dyn Store) {
    for key in ["a/b/1", "a/b/2", "a/c/1", "top"] {
        store.put(key, Bytes::from_static(b"x")).unwrap();
    }
    store.delete(&[]).unwrap();
    let doomed = ["a/b/1", "a/b/2", "a/b/absent", "nowhere/at/all", "a"].map(str::to_owned);
    store.delete(&doomed).unwrap();
    assert_eq!(keys(store, ""), ["a/c/1", "top"]);
    assert_eq!(children(store, "a/"), ["c"]);
    store.delete(&doomed).unwrap();
    assert_eq!(kind(store.get("a/b/1", 10)), StoreErrorKind::NotFound);
    store.delete(&["a/c/1".to_owned(), "top".to_owned()]).unwrap();
    assert!(children(store, "").is_empty());
}

fn create_while_deleting(store: &dyn Store) {
    std::thread::scope(|scope| {
        for writer in 0..4 {
            scope.spawn(move || {
                for round in 0..50 {
                    let key = format!("volume/{}/pending.{writer}", round % 2);
                    store.put(&key, Bytes::from_static(b"x")).unwrap();
                    assert_eq!(store.get(&key, 1).unwrap(), b"x");
                    store.list("volume/").unwrap();
                    store.delete(&[key]).unwrap();
                }
            });
        }
    });
    assert!(keys(store, "").is_empty());
}

fn hostile_keys(store: &dyn Store) {
    let long = "n".repeat(300);
    for key in ["", "/", "/etc/x", "..", "../x", "a/../../x", "a//b", "a/", "./a", "a\0b", "a/.tmp-b", &long] {
        let body = Bytes::from_static(b"x");
        assert_eq!(kind(store.put(key, body.clone())), StoreErrorKind::Other, "{key:?}");
        assert_eq!(kind(store.put_if_absent(key, body)), StoreErrorKind::Other, "{key:?}");
        assert_eq!(kind(store.upload(key).map(|_| ())), StoreErrorKind::Other, "{key:?}");
        assert_eq!(kind(store.get(key, 1)), StoreErrorKind::Other, "{key:?}");
        assert_eq!(kind(store.len(key)), StoreErrorKind::Other, "{key:?}");
        assert_eq!(kind(store.read_at(key, 0, &mut [0])), StoreErrorKind::Other, "{key:?}");
        assert_eq!(kind(store.delete(&[key.to_owned()])), StoreErrorKind::Other, "{key:?}");
    }
    for prefix in ["/", "../", "a", "a/../../", "a//"] {
        assert_eq!(kind(store.list(prefix)), StoreErrorKind::Other, "{prefix:?}");
        assert_eq!(kind(store.list_children(prefix)), StoreErrorKind::Other, "{prefix:?}");
        assert_eq!(kind(store.abort_unfinished(prefix)), StoreErrorKind::Other, "{prefix:?}");
    }
    assert!(keys(store, "").is_empty());
}
