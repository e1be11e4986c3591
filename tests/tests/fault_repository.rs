//! Repositories that cannot be written, are full, or are not repositories: one clear line, and their content stays.

use std::path::Path;

use septet_tests::content::noise;
use septet_tests::fault::{Site, assert_fails};
use septet_tests::{Mount, Repo, Scratch, command, septet};

const MIB: usize = 1 << 20;

/// Every command that writes to a repository, or only reads it.
const READING: [&[&str]; 4] =
    [&["list"], &["show", "one"], &["verify"], &["restore", "one", "/dev/shm/septet-test-never-made"]];

fn remount(mount: &Mount, how: &str) {
    command("mount", ["-o", &format!("remount,{how}"), mount.path("").to_str().expect("UTF-8")]);
}

#[test]
fn a_read_only_repository_is_said_to_be_read_only_and_can_be_read() {
    let scratch = Scratch::in_memory();
    let mount = Mount::tmpfs(64 << 20, &scratch.path("mount"));
    let repo = Repo::at(mount.path("repo"));
    let content = noise(1, MIB);
    let source = scratch.file("source", &content);
    repo.backup_as("one", &source, &[]);
    remount(&mount, "ro");
    let why = "is read-only: make it writable or use another repository";
    for words in [&["backup", source.to_str().expect("UTF-8")][..], &["delete", "one"], &["smoke"]] {
        assert_fails(&repo.septet(words).run(), 1, why);
        assert_fails(&repo.septet(words).run(), 1, repo.path().to_str().expect("UTF-8"));
    }
    let new = Repo::at(mount.path("new"));
    assert_fails(&new.backup_command(&source).run(), 1, why);
    assert_fails(&new.septet(["smoke"]).run(), 1, why);
    repo.assert_restores("one", &content);
    repo.septet(["verify"]).ok();
}

#[test]
fn a_full_repository_fails_the_backup_and_keeps_the_earlier_ones() {
    let scratch = Scratch::in_memory();
    let mount = Mount::tmpfs(12 << 20, &scratch.path("mount"));
    let repo = Repo::at(mount.path("repo"));
    let source = scratch.file("source", &noise(1, 4 * MIB));
    repo.backup_as("one", &source, &[]);
    let before = repo.objects();
    let why = "no space left in";
    for seed in 2..5 {
        std::fs::write(&source, noise(seed, (8 + usize::try_from(seed).expect("small")) * MIB))
            .expect("a larger volume");
        let outcome = repo.septet(["backup", "--volume", "vol", "--segment-size", "1MiB"]).arg(&source).run();
        assert_fails(&outcome, 1, why);
        assert_fails(&outcome, 1, "free some space, delete old backups or use another repository");
        assert_eq!((repo.objects(), repo.empty_directories()), (before.clone(), Vec::new()));
    }
    // Enough space for a marker, but not for a segment.
    let filler = std::fs::File::create(mount.path("filler")).expect("a file");
    while std::io::Write::write_all(&mut &filler, &[0; 4096]).is_ok() {}
    filler.set_len(filler.metadata().expect("a length").len() - (1 << 20)).expect("some room");
    assert_fails(&repo.septet(["smoke"]).run(), 1, why);
    assert_eq!((repo.objects(), repo.empty_directories()), (before, Vec::new()));
    repo.assert_restores("one", &noise(1, 4 * MIB));
}

#[test]
fn what_is_no_repository_is_refused_and_left_alone() {
    let scratch = Scratch::in_memory();
    let source = scratch.file("source", b"x");
    let other = scratch.path("other");
    std::fs::create_dir(&other).expect("a directory");
    std::fs::write(other.join("letter"), b"dear").expect("a file");
    let missing = scratch.path("missing");
    let file = scratch.file("file", b"x");
    let (other, missing, file) = (Repo::at(other), Repo::at(missing), Repo::at(file));
    for words in READING {
        assert_fails(&other.septet(words).run(), 1, "is not a Septet repository: it has no septet.json");
        assert_fails(&missing.septet(words).run(), 1, "missing is not a Septet repository: nothing exists there");
        assert_fails(&file.septet(words).run(), 1, "file: there is a file where a directory is needed: move it away");
    }
    assert_fails(
        &other.backup_command(&source).run(),
        1,
        "it is not empty and has no septet.json; name an empty or a new directory",
    );
    assert_fails(
        &file.backup_command(&source).run(),
        1,
        "file: there is a file where a directory is needed: move it away",
    );
    assert_eq!(other.objects(), ["letter"]);
    assert!(!missing.path().exists() && !Path::new(READING[3][2]).exists());
    for (url, status) in [("", 2), ("ftp://host/x", 1)] {
        let outcome = septet(["list", "--repo", url]).run();
        assert_fails(&outcome, status, if status == 2 { "names no repository" } else { "unknown scheme" });
    }
}

#[test]
fn a_repository_of_a_newer_format_is_not_touched() {
    let site = Site::new(MIB);
    let path = site.repo.path().join("septet.json");
    let text = std::fs::read_to_string(&path).expect("septet.json");
    std::fs::write(&path, text.replace("\"format\": 1", "\"format\": 2")).expect("a newer format");
    let target = site.scratch.path("target");
    let target = target.to_str().expect("UTF-8");
    for words in [
        &["list"][..],
        &["verify"],
        &["show", "earlier"],
        &["restore", "earlier", target],
        &["delete", "earlier"],
        &["smoke"],
    ] {
        assert_fails(&site.repo.septet(words).run(), 1, NEWER);
    }
    assert_fails(&site.repo.septet(site.backup(&[])).run(), 1, NEWER);
    std::fs::write(&path, text).expect("the old format again");
    site.assert_as_before();
}

/// The text of every refusal of a newer format.
const NEWER: &str = "newer";

#[test]
fn a_backup_of_a_newer_format_is_not_touched_and_the_others_go_on() {
    let site = Site::new(MIB);
    site.repo.backup_as("future", &site.source, &[]);
    let path = site.repo.path().join("vol/future/manifest-0.json");
    let text = std::fs::read_to_string(&path).expect("a manifest");
    let inner =
        text.strip_prefix("{\"manifest\":").and_then(|text| text.split_once(",\"blake3\":")).expect("the envelope").0;
    let inner = inner.replacen("\"format\":1", "\"format\":2", 1);
    let hash = blake3::hash(inner.as_bytes());
    std::fs::write(&path, format!("{{\"manifest\":{inner},\"blake3\":\"{hash}\"}}\n")).expect("a newer manifest");
    let target = site.scratch.path("target");
    let target = target.to_str().expect("UTF-8");
    for words in [&["show", "future"][..], &["restore", "future", target], &["rebuild", "future"]] {
        assert_fails(&site.repo.septet(words).run(), 1, NEWER);
    }
    let listed = site.repo.septet(["list"]).run();
    assert!(listed.stdout.contains("vol/earlier") && listed.stderr.contains(NEWER), "{listed:?}");
    let next = site.repo.septet(site.backup(&["--id", "next"])).ok();
    assert!(septet_tests::fault::notes(&next).contains(NEWER), "{next:?}");
    site.repo.assert_restores("vol/next", &site.content);
    site.assert_earlier_restores();
    site.repo.delete(&["vol/next"]);
    // A newer Septet may need its segments, so nothing of the volume was reclaimed.
    assert!(site.repo.objects().contains(&"vol/future/segments/000000".to_owned()));
    site.assert_earlier_restores();
}
