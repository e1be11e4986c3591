//! Large objects: parts in any order and at once, gaps, visibility, aborts.

use super::parts::{Case, aligned, keys, kind, pattern, read};
use crate::{PIECE_ALIGN_BYTES, Store, StoreErrorKind, Upload};
use bytes::Bytes;

pub(super) const CASES: &[Case] = &[
    ("parts may come in any order", out_of_order),
    ("parts may come at once", parallel),
    ("more pieces than one system call takes", many_pieces),
    ("a last part may be odd", odd_last_part),
    ("an upload of one part, of an empty one, of none", tiny),
    ("a part put twice counts once", repeated_part),
    ("a gap is refused, and may be filled then", gap),
    ("an upload is invisible until it is finished", invisible),
    ("finish replaces, also for one who has read before", finish_replaces),
    ("an aborted or dropped upload leaves nothing", aborted),
    ("leftovers of dead uploads are found and removed", leftovers),
    ("two uploads of one key: the last to finish stands", two_uploads),
];

/// A part's content as aligned pieces of 64 KiB. The last piece may be shorter.
fn pieces(content: &[u8]) -> Vec<Bytes> {
    content.chunks(64 << 10).map(aligned).collect()
}

fn put_parts(store: &dyn Store, upload: &dyn Upload, content: &[u8], order: impl IntoIterator<Item = usize>) {
    let part_bytes = store.part_rules().part_bytes;
    for number in order {
        let part = content.chunks(part_bytes).nth(number).unwrap();
        upload.put_part(u32::try_from(number).unwrap(), (number * part_bytes) as u64, pieces(part)).unwrap();
    }
}

fn check(store: &dyn Store, key: &str, content: &[u8]) {
    assert_eq!(store.len(key).unwrap(), content.len() as u64);
    assert!(store.get(key, content.len() as u64).unwrap() == content, "{key} has another content");
    let end = content.len() - content.len() % PIECE_ALIGN_BYTES;
    assert!(read(store, key, 0, end, 0).unwrap() == content[..end], "{key} reads differently");
}

fn out_of_order(store: &dyn Store) {
    let rules = store.part_rules();
    assert!(rules.part_bytes.is_multiple_of(PIECE_ALIGN_BYTES) && rules.parts_in_flight > 0);
    let content = pattern(4 * rules.part_bytes);
    let upload = store.upload("v/b/segments/000000").unwrap();
    put_parts(store, &*upload, &content, [2, 0, 3, 1]);
    upload.finish().unwrap();
    check(store, "v/b/segments/000000", &content);
    assert_eq!(store.abort_unfinished("").unwrap(), 0);
}

fn parallel(store: &dyn Store) {
    let content = pattern(6 * store.part_rules().part_bytes);
    let upload = store.upload("a").unwrap();
    std::thread::scope(|scope| {
        for number in 0..6 {
            let (upload, content) = (&*upload, &content);
            scope.spawn(move || put_parts(store, upload, content, [number]));
        }
    });
    upload.finish().unwrap();
    check(store, "a", &content);
}

fn many_pieces(store: &dyn Store) {
    let content = pattern(2500 * PIECE_ALIGN_BYTES);
    let upload = store.upload("a").unwrap();
    upload.put_part(0, 0, content.chunks(PIECE_ALIGN_BYTES).map(aligned).collect()).unwrap();
    upload.finish().unwrap();
    check(store, "a", &content);
}

fn odd_last_part(store: &dyn Store) {
    let part_bytes = store.part_rules().part_bytes;
    let content = pattern(part_bytes + 3 * PIECE_ALIGN_BYTES + 77);
    let upload = store.upload("a").unwrap();
    let last = &content[part_bytes..];
    // Odd lengths in the middle, odd addresses, an empty piece, and aligned pieces between them.
    let cuts = [&last[..4096], &last[4096..4106], &[], &last[4106..8192], &last[8192..12_288], &last[12_288..]];
    let body =
        cuts.into_iter().map(|piece| if piece.len() == 10 { Bytes::copy_from_slice(piece) } else { aligned(piece) });
    upload.put_part(1, part_bytes as u64, body.collect()).unwrap();
    put_parts(store, &*upload, &content, [0]);
    upload.finish().unwrap();
    check(store, "a", &content);
}

fn tiny(store: &dyn Store) {
    let upload = store.upload("one").unwrap();
    upload.put_part(0, 0, vec![Bytes::from_static(b"x")]).unwrap();
    upload.finish().unwrap();
    assert_eq!(store.get("one", 10).unwrap(), b"x");
    let upload = store.upload("empty").unwrap();
    upload.put_part(0, 0, vec![]).unwrap();
    upload.finish().unwrap();
    store.upload("none").unwrap().finish().unwrap();
    assert_eq!((store.len("empty").unwrap(), store.len("none").unwrap()), (0, 0));
}

fn repeated_part(store: &dyn Store) {
    let content = pattern(9000);
    let upload = store.upload("a").unwrap();
    upload.put_part(0, 0, pieces(&pattern(20_000))).unwrap();
    upload.put_part(0, 0, pieces(&content)).unwrap();
    upload.finish().unwrap();
    check(store, "a", &content);
}

fn gap(store: &dyn Store) {
    let content = pattern(3 * store.part_rules().part_bytes);
    let upload = store.upload("a").unwrap();
    put_parts(store, &*upload, &content, [0, 2]);
    assert_eq!(kind(upload.finish()), StoreErrorKind::Other);
    assert!(keys(store, "").is_empty());
    put_parts(store, &*upload, &content, [1]);
    upload.finish().unwrap();
    check(store, "a", &content);

    let upload = store.upload("b").unwrap();
    upload.put_part(0, 4096, pieces(&content[..4096])).unwrap();
    assert_eq!(kind(upload.finish()), StoreErrorKind::Other, "nothing at the beginning");
    let upload = store.upload("b").unwrap();
    upload.put_part(0, 0, pieces(&content[..8192])).unwrap();
    upload.put_part(1, 4096, pieces(&content[..8192])).unwrap();
    assert_eq!(kind(upload.finish()), StoreErrorKind::Other, "an overlap");
    drop(upload);
    assert_eq!(kind(store.len("b")), StoreErrorKind::NotFound);
}

fn invisible(store: &dyn Store) {
    let content = pattern(store.part_rules().part_bytes);
    let upload = store.upload("v/b/a").unwrap();
    put_parts(store, &*upload, &content, [0]);
    assert!(keys(store, "").is_empty());
    assert!(store.list_children("").unwrap().is_empty());
    assert_eq!(kind(store.get("v/b/a", 1 << 30)), StoreErrorKind::NotFound);
    upload.finish().unwrap();
    assert_eq!(keys(store, ""), ["v/b/a"]);
    assert_eq!(kind(upload.put_part(1, content.len() as u64, vec![])), StoreErrorKind::Other);
    assert_eq!(kind(upload.finish()), StoreErrorKind::Other);
    upload.abort();
    drop(upload);
    check(store, "v/b/a", &content);
}

fn finish_replaces(store: &dyn Store) {
    store.put("a", Bytes::from_static(b"old")).unwrap();
    let upload = store.upload("a").unwrap();
    upload.put_part(0, 0, vec![Bytes::from_static(b"new")]).unwrap();
    assert_eq!(read(store, "a", 0, 3, 0).unwrap(), b"old");
    upload.finish().unwrap();
    assert_eq!(read(store, "a", 0, 3, 0).unwrap(), b"new");
}

fn aborted(store: &dyn Store) {
    let content = pattern(4096);
    for drop_it in [false, true] {
        let upload = store.upload("v/b/a").unwrap();
        upload.put_part(0, 0, pieces(&content)).unwrap();
        if !drop_it {
            upload.abort();
            upload.abort();
            assert_eq!(kind(upload.put_part(1, 4096, pieces(&content))), StoreErrorKind::Other);
            assert_eq!(kind(upload.finish()), StoreErrorKind::Other);
        }
        drop(upload);
        assert!(keys(store, "").is_empty());
        assert_eq!(store.abort_unfinished("").unwrap(), 0, "something was left");
    }
}

fn leftovers(store: &dyn Store) {
    // Whole parts, because a store may hold back a small part until the upload is finished.
    let content = pattern(store.part_rules().part_bytes);
    store.put("v/b/whole", Bytes::from_static(b"x")).unwrap();
    let uploads = ["v/b/1", "v/b/2", "v/c/1"].map(|key| {
        let upload = store.upload(key).unwrap();
        upload.put_part(0, 0, pieces(&content)).unwrap();
        upload
    });
    assert_eq!(store.abort_unfinished("none/").unwrap(), 0);
    assert_eq!(store.abort_unfinished("v/b/").unwrap(), 2);
    uploads[2].finish().unwrap();
    assert!(uploads[0].finish().is_err(), "it was aborted by somebody else");
    assert_eq!(keys(store, ""), ["v/b/whole", "v/c/1"]);
    drop(uploads);
    assert_eq!(store.abort_unfinished("").unwrap(), 0);
}

fn two_uploads(store: &dyn Store) {
    let (first, second) = (store.upload("a").unwrap(), store.upload("a").unwrap());
    first.put_part(0, 0, vec![Bytes::from_static(b"first")]).unwrap();
    second.put_part(0, 0, vec![Bytes::from_static(b"second")]).unwrap();
    second.finish().unwrap();
    first.finish().unwrap();
    assert_eq!(store.get("a", 10).unwrap(), b"first");
}
