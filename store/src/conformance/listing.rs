//! Listing: order, prefixes, children.

use super::parts::{Case, keys};
use crate::{ObjectInfo, Store};
use bytes::Bytes;

pub(super) const CASES: &[Case] = &[
    ("an empty store lists as empty", empty),
    ("an object's age is told by the store's own clock", age),
    ("a store knows whether it is empty", is_empty),
    ("a listing is sorted, complete and has lengths", list),
    ("a prefix is a directory and not a beginning of names", prefix_is_a_directory),
    ("children are those that hold objects", children),
];

fn put_all(store: &dyn Store, keys: &[&str]) {
    for key in keys {
        store.put(key, Bytes::from(vec![b'x'; key.len()])).unwrap();
    }
}

fn empty(store: &dyn Store) {
    for prefix in ["", "none/", "none/at/all/"] {
        assert!(store.list(prefix).unwrap().is_empty());
        assert!(store.list_children(prefix).unwrap().is_empty());
    }
}

fn is_empty(store: &dyn Store) {
    let upload = store.upload("septet.json").unwrap();
    assert!(store.is_empty().unwrap(), "an upload that nobody sees is nothing");
    upload.finish().unwrap();
    assert!(!store.is_empty().unwrap());
    store.delete(&["septet.json".to_owned()]).unwrap();
    assert!(store.is_empty().unwrap());
}

fn list(store: &dyn Store) {
    let sorted = ["a!/x", "a/b/000000", "a/b/000001", "a/b/manifest.json", "a0", "z"];
    put_all(store, &["z", "a/b/000001", "a0", "a/b/manifest.json", "a!/x", "a/b/000000"]);
    let seen = |objects: Vec<ObjectInfo>| objects.into_iter().map(|object| (object.key, object.bytes));
    let expected = sorted.map(|key| (key.to_owned(), key.len() as u64));
    assert_eq!(seen(store.list("").unwrap()).collect::<Vec<_>>(), expected);
    assert_eq!(seen(store.list("a/b/").unwrap()).collect::<Vec<_>>(), expected[1..4]);
}

/// Both times come from the store's clock, so the local clock does not matter. A server may report whole seconds only.
fn age(store: &dyn Store) {
    let before = store.now().unwrap().expect("a clock");
    put_all(store, &["a/b/c"]);
    let written = store.list("").unwrap()[0].modified.expect("a time");
    let after = store.now().unwrap().expect("a clock");
    let second = std::time::Duration::from_secs(1);
    assert!(before <= written + second && written <= after + second, "{before:?} {written:?} {after:?}");
    assert_eq!(keys(store, "").len(), 1, "asking for the time leaves nothing");
}

fn prefix_is_a_directory(store: &dyn Store) {
    put_all(store, &["vol/1", "vol2/1", "vol/sub/1"]);
    assert_eq!(keys(store, "vol/"), ["vol/1", "vol/sub/1"]);
    assert!(keys(store, "vo/").is_empty());
    assert!(keys(store, "vol/1/").is_empty());
}

fn children(store: &dyn Store) {
    put_all(store, &["septet.json", "b/x/1", "a/x/y/z", "a/w/1", "a/file"]);
    assert_eq!(store.list_children("").unwrap(), ["a", "b"]);
    assert_eq!(store.list_children("a/").unwrap(), ["w", "x"]);
    assert_eq!(store.list_children("a/x/").unwrap(), ["y"]);
    assert!(store.list_children("a/x/y/").unwrap().is_empty());
    let upload = store.upload("c/unfinished").unwrap();
    assert_eq!(store.list_children("").unwrap(), ["a", "b"]);
    upload.abort();
}
