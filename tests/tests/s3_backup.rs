//! Backups in SeaweedFS from end to end: the same tests as for a directory, and tests of S3 only.

use septet_store::Store;
use septet_tests::Scratch;
use septet_tests::content::{noise, text};
use septet_tests::s3::{Bucket, Proxy, Seaweed, round_trip};

#[test]
fn a_bucket_does_all_that_a_directory_does() {
    let seaweed = Seaweed::shared();
    round_trip(seaweed.server(), seaweed.bucket());
}

#[test]
fn requests_are_the_parts_and_a_small_constant() {
    const CONSTANT: u64 = 40;
    let seaweed = Seaweed::shared();
    let proxy = Proxy::before(seaweed.server());
    let scratch = Scratch::in_memory();
    for (name, bytes) in [("small", 100_000), ("large", 120 << 20)] {
        let repo = Bucket::at(proxy.server(), &seaweed.place(&format!("/{name}?part-size=5")));
        let volume = scratch.file(name, &noise(1, bytes));
        for id in ["first", "second"] {
            proxy.requests();
            let summary = repo.backup(id, &volume, &["--full", "--compression", "none"]);
            let (made, said) = (proxy.requests().len() as u64, summary["requests"].as_u64().expect("a count"));
            let parts = bytes as u64 / (5 << 20);
            println!("{name}, {id}: {made} requests for {parts} parts, {} objects", summary["objects"]);
            assert!(made <= parts + CONSTANT, "{made} requests for {parts} parts");
            // The supervisor removes its marker and reads the manifest when it makes the summary.
            assert_eq!(said, made, "what the summary says");
        }
    }
}

#[test]
fn a_backup_takes_no_more_memory_than_promised() {
    let seaweed = Seaweed::shared();
    let scratch = Scratch::in_memory();
    // Random blocks wait for the server in the reader's pool, text waits in the compressor's.
    for (name, content) in [("random", noise(1, 256 << 20)), ("text", text(2, 256 << 20))] {
        let repo = seaweed.repo(&format!("/{name}"));
        let volume = scratch.file(name, &content);
        let summary = repo.backup("first", &volume, &["--full"]);
        let peak = summary["memory_peak_bytes"].as_u64().expect("bytes");
        println!("{name}: {} MiB, {} MiB stored", peak >> 20, summary["bytes_stored"].as_u64().unwrap() >> 20);
        assert!(peak < 250 << 20, "{name}: {peak} bytes");
    }
}

#[test]
fn a_list_costs_what_is_listed_and_not_what_is_stored() {
    let seaweed = Seaweed::shared();
    let scratch = Scratch::in_memory();
    let proxy = Proxy::before(seaweed.server());
    let repo = Bucket::at(proxy.server(), &seaweed.place("?part-size=5"));
    let volume = scratch.file("volume", &noise(1, 4 << 20));
    let backups = ["b1", "b2", "b3"];
    for id in backups {
        repo.backup(id, &volume, &["--full"]);
    }
    let requests = || {
        proxy.requests();
        assert_eq!(repo.listed(), backups);
        proxy.requests().len()
    };
    let few = requests();
    // A thousand more objects in the same backups and in another volume.
    let store = seaweed.server().store(seaweed.bucket());
    for number in 100..400 {
        store.put(&format!("vol/b1/segments/{number:06}"), bytes::Bytes::from_static(b"x")).unwrap();
    }
    assert_eq!(requests(), few);
    assert!(few <= 4 + backups.len(), "{few} requests");
}

#[test]
fn quick_verification_finds_what_is_missing_or_short() {
    let seaweed = Seaweed::shared();
    let scratch = Scratch::in_memory();
    let repo = seaweed.repo("");
    repo.backup("b1", &scratch.file("volume", &noise(1, 1 << 20)), &[]);
    let store = repo.store();
    let segment = store.get("vol/b1/segments/000000", 1 << 30).unwrap();
    store.put("vol/b1/segments/000000", bytes::Bytes::from(segment[..4096].to_vec())).unwrap();
    let found = repo.septet(&["verify", "--quick"]).run().exits(3);
    assert!(found.stdout.contains("has 4096 bytes instead of"), "{}", found.stdout);
    store.delete(&["vol/b1/segments/000000".to_owned()]).unwrap();
    let found = repo.septet(&["verify", "--quick"]).run().exits(3);
    assert!(found.stdout.contains("is missing"), "{}", found.stdout);
}

#[test]
fn of_two_runs_of_one_backup_one_is_told() {
    let seaweed = Seaweed::shared();
    let scratch = Scratch::in_memory();
    let repo = seaweed.repo("");
    let volume = scratch.file("volume", &noise(1, 8 << 20));
    repo.backup("b0", &volume, &[]);
    let runs = [(); 2].map(|()| repo.backup_command("same", &volume, &["--full"]).spawn());
    let mut ends = runs.map(|run| run.wait().status);
    ends.sort_unstable();
    assert_eq!(ends, [Some(0), Some(1)]);
    assert_eq!(repo.listed(), ["b0", "same"]);
    repo.assert_restores("same", &noise(1, 8 << 20));
}

#[test]
fn no_secret_is_ever_said() {
    let seaweed = Seaweed::shared();
    let scratch = Scratch::in_memory();
    let volume = scratch.file("volume", &noise(1, 1 << 20));
    let good = seaweed.repo("");
    let wrong = good.through(&seaweed.read_only());
    let mut said = String::new();
    for (repo, id) in [(&good, "b1"), (&wrong, "b2")] {
        let outcome = repo.backup_command(id, &volume, &["--verbose"]).run();
        said += &(outcome.stdout + &outcome.stderr);
    }
    let store = good.store();
    for object in store.list("").unwrap() {
        said += &String::from_utf8_lossy(&store.get(&object.key, 1 << 30).unwrap());
    }
    assert!(said.contains("septet"));
    for secret in ["owner-secret", "guest-secret", "owner-key", "guest-key"] {
        assert!(!said.contains(secret), "{secret} was said");
    }
}
