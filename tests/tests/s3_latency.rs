//! A distant server: counts the requests that a command makes in sequence. Each costs a round trip.
//!
//! A proxy delays each request and records its start and end. The tests assert a count and not a time: the length of
//! the longest chain of requests in which each began after the one before it had ended. A busy machine may start
//! parallel requests late. That makes the count larger and never smaller, so each measurement may be repeated, and
//! the smallest count is used.
//!
//! The limits are ratchets: lower them if a change makes fewer requests. Never raise them.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use septet_store::{Requests, Store};
use septet_tests::Scratch;
use septet_tests::content::noise;
use septet_tests::s3::{Bucket, Proxy, Seaweed};

const DELAY: Duration = Duration::from_millis(50);
const ATTEMPTS: usize = 3;

/// An incremental backup of a small unchanged volume, from start to exit.
const INCREMENTAL_MAX: usize = 8;
/// The first backup of a small volume to a server that was not used before, from start to exit.
const FULL_MAX: usize = 12;
/// The requests of a backup of 16 TiB before the first block moves: an incremental, and a restore.
const OPENING_MAX: usize = 8;
/// The time limit for both, s.
const TIMEOUT: &str = "6";
/// The number of listed volumes.
const VOLUMES: usize = 1000;
/// 40 of them take 2 s.
const LIST_MAX: usize = 40;

struct Scene {
    proxy: Proxy,
    seaweed: Seaweed,
    scratch: Scratch,
}

impl Scene {
    fn new() -> Self {
        let seaweed = Seaweed::shared();
        Self { proxy: Proxy::before(seaweed.server()), scratch: Scratch::in_memory(), seaweed }
    }

    /// A repository behind the proxy, which delays nothing until [`requests`](Self::requests).
    fn far(&self, place: &str) -> Bucket {
        Bucket::at(self.proxy.server(), &self.seaweed.place(place))
    }

    /// The requests that `run` makes to the distant server.
    fn requests(&self, run: impl FnOnce()) -> Requests {
        self.proxy.delay(DELAY);
        self.proxy.log().take();
        run();
        self.proxy.delay(Duration::ZERO);
        self.proxy.log().take()
    }
}

/// Asserts that one of a few attempts makes at most `limit` requests in sequence.
fn assert_in_sequence(what: &str, limit: usize, mut attempt: impl FnMut(usize) -> Requests) {
    for number in 1..=ATTEMPTS {
        let requests = attempt(number);
        let in_sequence = requests.in_sequence().len();
        println!("{what}: {in_sequence} of {} requests in sequence, at most {limit}", requests.count());
        assert!(in_sequence > 0, "{what}: the proxy saw nothing");
        if in_sequence <= limit {
            return;
        }
        assert!(number < ATTEMPTS, "{what}: more than {limit} requests in sequence:\n{requests}");
    }
}

#[test]
fn a_backup_takes_few_round_trips() {
    let scene = Scene::new();
    let volume = scene.scratch.file("volume", &noise(1, 3 << 20));
    assert_in_sequence("full", FULL_MAX, |attempt| {
        let repo = scene.far(&format!("/full-{attempt}"));
        scene.requests(|| drop(repo.backup("b0", &volume, &[])))
    });
    let repo = scene.far("/chain");
    repo.backup("b0", &volume, &[]);
    assert_in_sequence("incremental", INCREMENTAL_MAX, |attempt| {
        let id = format!("b{attempt}");
        scene.requests(|| assert_eq!(repo.backup(&id, &volume, &[])["blocks"]["data"], 0))
    });
    repo.assert_restores("b1", &noise(1, 3 << 20));
}

/// A sparse volume with 4 KiB of data at each of 128 offsets, one in every 128 GiB. So each table has
/// 128 chunks, for blocks of 64 KiB (a chunk covers 1 GiB) and of 1 MiB (16 GiB).
const VOLUME_BYTES: u64 = 16 << 40;
const PLACES: u64 = 128;

fn place(number: u64) -> u64 {
    number * (VOLUME_BYTES / PLACES)
}

fn data(number: u64) -> Vec<u8> {
    noise(number, 4096)
}

fn make_large_volume(path: &Path) {
    let file = File::create(path).unwrap();
    file.set_len(VOLUME_BYTES).unwrap();
    for number in 0..PLACES {
        file.write_all_at(&data(number), place(number)).unwrap();
    }
}

fn assert_is_large_volume(path: &Path, changed: &[u8]) {
    let file = File::open(path).unwrap();
    let metadata = file.metadata().unwrap();
    assert_eq!(metadata.len(), VOLUME_BYTES);
    assert!(metadata.blocks() * 512 <= PLACES << 20, "no more than one block in each place");
    let mut found = vec![0; 4096];
    for number in 0..PLACES {
        file.read_exact_at(&mut found, place(number)).unwrap();
        let expected = if number == 0 { changed.to_vec() } else { data(number) };
        assert!(found == expected, "place {number}");
    }
}

/// Whether the request moves a block: writes a segment or reads blocks from it.
fn moves_a_block(request: &str) -> bool {
    request.contains("/segments/") && (request.starts_with("P") || request.contains("range:"))
}

fn opening_of_16_tib(block_size: &str) {
    let scene = Scene::new();
    let volume = scene.scratch.path("volume");
    make_large_volume(&volume);
    let repo = scene.far("/repo");
    repo.backup("full", &volume, &["--block-size", block_size]);
    let changed = noise(12_345, 4096);
    File::options().write(true).open(&volume).unwrap().write_all_at(&changed, 0).unwrap();
    assert_in_sequence(&format!("incremental in blocks of {block_size}"), OPENING_MAX, |attempt| {
        let id = format!("incremental-{attempt}");
        let requests = scene.requests(|| {
            let args = ["--timeout", TIMEOUT, "--parent", "full"];
            let summary = repo.backup(&id, &volume, &args);
            assert_eq!((&summary["parent"], &summary["blocks"]["data"]), (&"full".into(), &1.into()), "{summary}");
        });
        requests.before(moves_a_block)
    });
    let target = scene.scratch.path("restored");
    assert_in_sequence(&format!("restore in blocks of {block_size}"), OPENING_MAX, |_| {
        let _ = fs::remove_file(&target);
        let words = ["restore", "--timeout", TIMEOUT, "vol/incremental-1"];
        let requests = scene.requests(|| drop(repo.septet(&words).arg(&target).ok()));
        requests.before(moves_a_block)
    });
    assert_is_large_volume(&target, &changed);
}

#[test]
fn opening_16_tib_in_blocks_of_1_mib_takes_few_round_trips() {
    opening_of_16_tib("1MiB");
}

#[test]
fn opening_16_tib_in_blocks_of_64_kib_takes_few_round_trips() {
    opening_of_16_tib("64KiB");
}

/// A manifest is one line in an envelope that holds the hash of the content.
fn manifest_of_another_volume(manifest: &[u8], volume: &str) -> Vec<u8> {
    let inner = std::str::from_utf8(&manifest[12..manifest.len() - 78]).unwrap();
    let inner = inner.replace("\"vol\"", &format!("\"{volume}\""));
    let hash = blake3::hash(inner.as_bytes()).to_hex();
    format!("{{\"manifest\":{inner},\"blake3\":\"{hash}\"}}\n").into_bytes()
}

#[test]
fn a_list_of_many_volumes_takes_few_round_trips() {
    let scene = Scene::new();
    let repo = scene.far("");
    repo.backup("b0", &scene.scratch.file("volume", &noise(1, 100_000)), &[]);
    let (store, keys) = (repo.store(), repo.objects());
    let key = keys.iter().find(|key| key.starts_with("vol/b0/manifest")).expect("a manifest");
    let manifest = store.get(key, 1 << 20).unwrap();
    for number in 1..VOLUMES {
        let volume = format!("vol-{number}");
        let body = manifest_of_another_volume(&manifest, &volume);
        store.put(&key.replacen("vol/", &format!("{volume}/"), 1), body.into()).unwrap();
    }
    assert_in_sequence("list", LIST_MAX, |_| scene.requests(|| assert_eq!(repo.listed().len(), VOLUMES)));
}
