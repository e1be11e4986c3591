//! The store against a scripted server: what a server may do wrong, and what each request says about it.

use super::S3;
use super::scripted::{Answer, Request, Scripted};
use crate::{Store, StoreError, StoreErrorKind};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

fn open(server: &Scripted, options: &str) -> S3 {
    S3::open_as(&server.url(options), "key", "secret").unwrap()
}

/// A page of a listing: the objects, and what stands before them.
fn page(rest: &str, names: &[&str]) -> Answer {
    Answer::ok(page_text(rest, names))
}

fn page_text(rest: &str, names: &[&str]) -> String {
    let objects = names.iter().map(|name| format!("<Contents><Key>{name}</Key><Size>1</Size></Contents>"));
    format!("<?xml version=\"1.0\"?><ListBucketResult>{rest}{}</ListBucketResult>", objects.collect::<String>())
}

const LAST: &str = "<IsTruncated>false</IsTruncated>";

fn truncated(token: &str) -> String {
    format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>")
}

fn assert_names(error: &StoreError, parts: &[&str]) {
    let said = error.to_string();
    parts.iter().for_each(|part| assert!(said.contains(part), "{part:?} is not in {said}"));
}

fn keys(store: &S3, prefix: &str) -> Vec<String> {
    store.list(prefix).unwrap().into_iter().map(|object| object.key).collect()
}

#[test]
fn a_listing_goes_on_until_the_server_says_that_it_is_whole() {
    let server = Scripted::start(|request| match request {
        _ if request.has("continuation-token=t2") => page(LAST, &["r/vol/c"]),
        // A page may be empty, and still there are more.
        _ if request.has("continuation-token=t1") => page(&truncated("t2"), &[]),
        _ => page(&truncated("t1"), &["r/vol/a", "r/vol/b"]),
    });
    assert_eq!(keys(&open(&server, ""), "vol/"), ["vol/a", "vol/b", "vol/c"]);
}

/// Lists from a server that answers each request by `page`: the error.
fn listing_error(page: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> (StoreError, usize) {
    let server = Scripted::start(page);
    let error = open(&server, "").list("vol/").expect_err("it is taken for whole");
    assert_names(&error, &["cannot list \"vol/\"", server.endpoint()]);
    let children = open(&server, "").list_children("vol/").expect_err("it is taken for whole");
    assert_eq!(children.kind(), error.kind());
    (error, server.requests().len())
}

#[test]
fn a_listing_that_is_not_proven_whole_is_an_error() {
    let names = &["r/vol/a", "r/vol/b"];
    for (rest, expected) in [
        ("<IsTruncated>true</IsTruncated>".to_owned(), "no NextContinuationToken"),
        (truncated(""), "no NextContinuationToken"),
        // As version 1 answers.
        ("<IsTruncated>true</IsTruncated><NextMarker>r/vol/b</NextMarker>".to_owned(), "no NextContinuationToken"),
        (String::new(), "no IsTruncated"),
        ("<MaxKeys>1000</MaxKeys>".to_owned(), "no IsTruncated"),
    ] {
        let (error, requests) = listing_error(move |_| page(&rest, names));
        assert_names(&error, &["ListObjectsV2 of \"r/vol/\"", expected]);
        assert_eq!(requests, 2, "to ask again does not help");
    }
}

#[test]
fn a_listing_that_goes_round_in_a_circle_is_an_error() {
    let (error, _) = listing_error(|_| page(&truncated("same"), &[]));
    assert_names(&error, &["\"same\" leads back to an earlier page"]);
    let turns = AtomicUsize::new(0);
    let (error, _) = listing_error(move |_| page(&truncated(["x", "y"][turns.fetch_add(1, SeqCst) % 2]), &[]));
    assert_names(&error, &["leads back to an earlier page"]);
}

#[test]
fn names_that_cannot_be_in_the_listing_are_an_error() {
    let first = |request: &Request| !request.has("continuation-token");
    let (error, _) = listing_error(|_| {
        page(&format!("{LAST}<CommonPrefixes><Prefix>r/other/</Prefix></CommonPrefixes>"), &["r/other/a"])
    });
    assert_names(&error, &["\"r/other/a\" does not begin with the prefix"]);
    let again = move |request: &Request| {
        let below = "<CommonPrefixes><Prefix>r/vol/a/</Prefix></CommonPrefixes>";
        let rest = if first(request) { truncated("t") } else { LAST.to_owned() } + below;
        page(&rest, &["r/vol/a"])
    };
    let (error, _) = listing_error(again);
    assert_names(&error, &["after \"t\"", "not sorted"]);
    let without_size = format!("{LAST}<Contents><Key>r/vol/a</Key></Contents>");
    let server = Scripted::start(move |_| page(&without_size, &[]));
    assert_names(&open(&server, "").list("").unwrap_err(), &["no Size"]);
}

#[test]
fn a_listing_that_breaks_off_is_never_taken_for_a_shorter_one() {
    let names = &["r/vol/a", "r/vol/b"];
    let whole = page_text(LAST, names);
    let assert_refused = |part: &str, has_length: bool| {
        let part = part.to_owned();
        let (error, requests) = listing_error(move |_| {
            let answer = Answer::ok(part.clone());
            if has_length { answer } else { answer.without_length() }
        });
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
        assert_names(&error, &["not a whole XML document"]);
        assert!(requests > 2, "it may be cut only once, so it is tried again");
    };
    std::thread::scope(|scope| {
        for cut in ["</ListBucketResult>", "</Contents></ListB", "<Contents><Key>r/vol/b", "r/vol/b", "/vol/a"] {
            let part = &whole[..whole.find(cut).unwrap()];
            for has_length in [true, false] {
                scope.spawn(move || assert_refused(part, has_length));
            }
        }
    });
    let attempts = AtomicUsize::new(0);
    let server = Scripted::start(move |_| {
        let end = if attempts.fetch_add(1, SeqCst) == 0 { whole.len() - 4 } else { whole.len() };
        Answer::ok(&whole.as_bytes()[..end])
    });
    assert_eq!(keys(&open(&server, ""), "vol/"), ["vol/a", "vol/b"]);
}

#[test]
fn a_listing_of_uploads_that_is_not_proven_whole_is_an_error() {
    let truncated = "<IsTruncated>true</IsTruncated>";
    let marked = format!("{truncated}<NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>i</NextUploadIdMarker>");
    for (rest, expected) in [
        (truncated.to_owned(), "no NextKeyMarker"),
        (marked, "leads back"),
        (String::new(), "no IsTruncated"),
        (format!("{LAST}<Upload><Key>r/vol/a</Key>"), "not a whole XML document"),
    ] {
        let server = Scripted::start(move |_| {
            Answer::ok(format!("<ListMultipartUploadsResult>{rest}</ListMultipartUploadsResult>"))
        });
        let error = open(&server, "").abort_unfinished("vol/").expect_err(expected);
        assert_names(&error, &["cannot list the uploads of \"vol/\"", server.endpoint(), expected]);
    }
}

#[test]
fn an_answer_to_a_deletion_that_breaks_off_is_not_taken_for_success() {
    let server = Scripted::start(|_| Answer::ok("<DeleteResult><Error><Key>r/a</Key><Code>AccessDe"));
    let error = open(&server, "").delete(&["a".to_owned(), "b".to_owned()]).unwrap_err();
    assert_names(&error, &["cannot delete", "not a whole XML document"]);
}

/// A server that keeps objects and uploads, and that checks CRC-64s as far as a probe can tell.
#[derive(Default)]
struct Bucket {
    objects: Mutex<BTreeMap<String, usize>>,
    uploads: Mutex<BTreeMap<String, String>>,
}

impl Bucket {
    fn answer(&self, request: &Request) -> Answer {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let is = |name: &str| query.split('&').any(|option| option.split('=').next() == Some(name));
        match request.method.as_str() {
            "GET" if is("uploads") => {
                let uploads = self.uploads.lock().unwrap();
                let listed = uploads
                    .iter()
                    .map(|(id, name)| format!("<Upload><Key>{name}</Key><UploadId>{id}</UploadId></Upload>"));
                let listed: String = listed.collect();
                Answer::ok(format!("<ListMultipartUploadsResult>{LAST}{listed}</ListMultipartUploadsResult>"))
            }
            "GET" if is("list-type") => {
                let prefix = query.split('&').find_map(|option| option.strip_prefix("prefix=")).unwrap_or("");
                let prefix = prefix.replace("%2F", "/");
                let objects = self.objects.lock().unwrap();
                let names: Vec<&str> =
                    objects.keys().map(String::as_str).filter(|name| name.starts_with(&prefix)).collect();
                page(LAST, &names)
            }
            "GET" if self.objects.lock().unwrap().contains_key(path) => Answer::ok("x"),
            "GET" => Answer::error(404, "NoSuchKey"),
            "POST" if is("uploads") => {
                let mut uploads = self.uploads.lock().unwrap();
                let id = format!("id{}", uploads.len());
                uploads.insert(id.clone(), path.to_owned());
                let name = "InitiateMultipartUploadResult";
                Answer::ok(format!("<{name}><UploadId>{id}</UploadId></{name}>"))
            }
            "PUT" if is("uploadId") && is("partNumber") && query.contains("partNumber=1") => {
                Answer::error(400, "BadDigest")
            }
            "PUT" if is("uploadId") => Answer::ok(""),
            "PUT" if path.contains("septet-probe-") => Answer::error(400, "BadDigest"),
            "PUT" => {
                self.objects.lock().unwrap().insert(path.to_owned(), 1);
                Answer::ok("")
            }
            "DELETE" if is("uploadId") => {
                self.uploads.lock().unwrap().retain(|id, _| !query.contains(&format!("uploadId={id}")));
                Answer::ok("")
            }
            "DELETE" => {
                self.objects.lock().unwrap().remove(path);
                Answer::ok("")
            }
            _ => Answer::error(400, "NotScripted"),
        }
    }
}

/// A bucket in which the requests that `denied` takes are answered by `answer`.
fn bucket(denied: fn(&Request) -> bool, answer: fn() -> Answer) -> Scripted {
    let bucket = Bucket::default();
    Scripted::start(move |request| {
        // What the server did before it failed stays done.
        let done = bucket.answer(request);
        if denied(request) { answer() } else { done }
    })
}

#[test]
fn a_probe_whose_sweep_is_denied_leaves_nothing_and_the_error_says_so() {
    let server = bucket(|request| request.is("GET", "?uploads"), || Answer::error(403, "AccessDenied"));
    let store = open(&server, "");
    let error = store.put("a", Bytes::from_static(b"x")).unwrap_err();
    assert_names(&error, &["cannot list the uploads of \"septet-probe-\"", "grant this key the rights", "uploads"]);
    assert_eq!(server.count(|request| request.method == "DELETE" && request.has("uploadId=")), 1);
    assert!(store.is_empty().unwrap());
    assert!(store.list("").unwrap().is_empty());
}

#[test]
fn whatever_part_of_a_probe_fails_what_it_left_is_removed() {
    type Choice = fn(&Request) -> bool;
    let cases: [(Choice, &str); 4] = [
        (|request| request.is("PUT", "r/septet-probe-") && !request.has("uploadId"), "cannot write \"septet-probe-"),
        (|request| request.is("POST", "r/septet-probe-"), "cannot begin an upload of \"septet-probe-"),
        (|request| request.is("PUT", "r/septet-probe-") && request.has("uploadId"), "cannot upload a part of \"septet"),
        (|request| request.is("PUT", "r/s3.json"), "cannot write \"s3.json\""),
    ];
    for (choice, said) in cases {
        for (answer, kind) in [
            ((|| Answer::error(403, "AccessDenied")) as fn() -> Answer, StoreErrorKind::PermissionDenied),
            (|| Answer::error(404, "NoSuchKey"), StoreErrorKind::Other),
            (|| Answer::error(404, ""), StoreErrorKind::Other),
        ] {
            let server = bucket(choice, answer);
            let error = open(&server, "").put("a", Bytes::from_static(b"x")).unwrap_err();
            assert_names(&error, &[said]);
            assert_eq!(error.kind(), kind, "{error}");
            let begun = server.count(|request| request.is("POST", "r/septet-probe-"));
            let ended = server.count(|request| request.method == "DELETE" && request.has("uploadId="));
            assert!(begun == ended || said.contains("begin"), "{begun} uploads are begun and {ended} aborted");
            let deletes = server.count(|request| request.is("DELETE", "r/septet-probe-") && !request.has("uploadId"));
            assert!(deletes == 1 || !said.contains("cannot write \"septet"), "the probe may be there");
        }
    }
}

#[test]
fn there_is_no_note_before_the_probe_has_ended() {
    let server =
        bucket(|request| request.method == "DELETE" && request.has("uploadId="), || Answer::error(403, "AccessDenied"));
    let error = open(&server, "").put("a", Bytes::from_static(b"x")).unwrap_err();
    assert_names(&error, &["cannot abort the upload of \"septet-probe-"]);
    assert_eq!(server.count(|request| request.method == "PUT" && !request.has("septet-probe-")), 0);
}

#[test]
fn the_leavings_of_a_probe_are_swept_and_never_make_a_place_unusable() {
    let content = Bucket::default();
    content.objects.lock().unwrap().insert("r/septet-probe-0123456789abcdef".to_owned(), 1);
    content.uploads.lock().unwrap().insert("old".to_owned(), "r/septet-probe-0123456789abcdee".to_owned());
    let server = Scripted::start(move |request| content.answer(request));
    let store = open(&server, "");
    assert!(store.is_empty().unwrap());
    store.put("a", Bytes::from_static(b"x")).unwrap();
    assert_eq!(server.count(|request| request.is("DELETE", "r/septet-probe-0123456789abcdef")), 1);
    assert_eq!(server.count(|request| request.method == "DELETE" && request.has("uploadId=old")), 1);
    assert!(!store.is_empty().unwrap());
    assert_eq!(keys(&store, ""), ["a"]);
}

#[test]
fn threads_that_write_at_once_find_the_check_out_once() {
    let content = Bucket::default();
    let server = Scripted::start(move |request| {
        std::thread::sleep(Duration::from_millis(5));
        content.answer(request)
    });
    let store = open(&server, "");
    std::thread::scope(|scope| {
        for number in 0..16 {
            let store = &store;
            scope.spawn(move || store.put(&format!("a{number}"), Bytes::from_static(b"x")).unwrap());
        }
    });
    assert_eq!(server.count(|request| request.is("GET", "r/s3.json")), 1);
    assert_eq!(server.count(|request| request.is("POST", "r/septet-probe-")), 1);
    assert_eq!(server.count(|request| request.is("PUT", "r/a")), 16);
}

#[test]
fn a_note_without_an_end_is_no_note_and_is_not_read_to_the_end() {
    let server = bucket(|request| request.is("GET", "r/s3.json"), Answer::endless);
    open(&server, "").put("a", Bytes::from_static(b"x")).unwrap();
    assert_eq!(server.count(|request| request.is("PUT", "r/s3.json")), 1);
}

#[test]
fn an_object_that_is_there_already_is_compared_and_not_read_to_the_end() {
    let attempts = AtomicUsize::new(0);
    let server = Scripted::start(move |request| match request.method.as_str() {
        "PUT" if attempts.fetch_add(1, SeqCst) == 0 => Answer::error(500, "InternalError"),
        "PUT" => Answer::error(412, "PreconditionFailed"),
        _ => Answer::endless(),
    });
    let error = open(&server, "&upload-check=none").put_if_absent("a", Bytes::from_static(b"x")).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::AlreadyExists);
}

#[test]
fn a_length_is_not_found_by_reading_an_object_to_the_end() {
    let server = Scripted::start(|request| match request.method.as_str() {
        "HEAD" => Answer::error(403, "AccessDenied"),
        _ => Answer::error(403, "InvalidAccessKeyId"),
    });
    assert_names(&open(&server, "").len("a").unwrap_err(), &["AWS_ACCESS_KEY_ID"]);
    let server = Scripted::start(|request| match request.method.as_str() {
        "HEAD" => Answer::error(403, "AccessDenied"),
        _ => Answer::endless(),
    });
    assert_names(&open(&server, "").len("a").unwrap_err(), &["does not say how long"]);
}

#[test]
fn a_known_check_is_believed_only_if_the_supervisor_hands_it_on() {
    let content = Bucket::default();
    let server = Scripted::start(move |request| content.answer(request));
    let handed_on = open(&server, "").url_for_writers().unwrap();
    assert!(handed_on.ends_with("&known-check=crc64nvme"), "{handed_on}");
    let error = S3::open_as(&handed_on, "key", "secret").err().expect("it is refused");
    assert_names(&error, &["no option \"known-check\""]);
    let error = crate::open(&handed_on, crate::Access::Existing).err().expect("it is refused");
    assert_names(&error, &["no option \"known-check\""]);
    let store = crate::open_handed_on(&handed_on).unwrap();
    assert_eq!(store.url(), server.url(""));
    // Its own answer, which needs no request, is the one that it was told.
    let before = server.requests().len();
    assert_eq!(store.url_for_writers().unwrap(), handed_on);
    assert_eq!(server.requests().len(), before);
}

#[test]
fn what_is_handed_on_is_held_against_what_was_asked_for() {
    for (options, said) in [("&known-check=none", "plain HTTP"), ("&upload-check=crc&known-check=md5", "CRC")] {
        let server = Scripted::start(|_| Answer::error(400, "NotScripted"));
        let store = crate::open_handed_on(&server.url(options)).unwrap();
        assert_names(&store.put("a", Bytes::from_static(b"x")).unwrap_err(), &[said]);
        assert!(server.requests().is_empty());
    }
}

#[test]
fn no_more_requests_are_under_way_than_the_url_allows() {
    use std::sync::Arc;
    let under_way = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let counted = Arc::clone(&under_way);
    let server = Scripted::start(move |_| {
        let (now, most) = &*counted;
        most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
        std::thread::sleep(Duration::from_millis(10));
        now.fetch_sub(1, SeqCst);
        Answer::ok("x")
    });
    let store = open(&server, "&connections=3");
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| assert_eq!(store.get("a", 1).unwrap(), b"x"));
        }
    });
    assert_eq!(under_way.1.load(SeqCst), 3);
    assert_eq!(server.requests().len(), 40);
}
