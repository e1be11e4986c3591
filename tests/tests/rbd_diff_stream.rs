//! `septet export-diff` and `import-diff` with the real `rbd`: each reads the streams of the other.

use std::path::{Path, PathBuf};

use septet_tests::content::{Rng, mixed, noise};
use septet_tests::{Ceph, Change, Image, Repo, Scratch, command};

const MIB: u64 = 1 << 20;
const IMAGE_BANNER: &[u8] = b"rbd image v2\n";
const DIFFS_BANNER: &[u8] = b"rbd image diffs v2\n";

/// Changes of a disk between two backups, some of each kind.
fn changes(rng: &mut Rng, bytes: u64) -> Vec<Change> {
    let at = |rng: &mut Rng| rng.below(usize::try_from(bytes - 2 * MIB).unwrap()) as u64;
    vec![
        Change::Write(at(rng), mixed(rng.next_u64(), 1_234_567, 50_000)),
        Change::Write(at(rng), vec![0; 600_000]),
        Change::Write(at(rng), noise(rng.next_u64(), 513)),
        {
            let start = at(rng) / 4096 * 4096;
            Change::Discard(start..start + MIB)
        },
    ]
}

/// An image with a snapshot for each state, `s0` to `s4`: written, changed, grown, shrunk, and as it was.
fn history<'a>(ceph: &'a Ceph, seed: u64) -> Image<'a> {
    let mut rng = Rng::new(seed);
    let image = ceph.image(20 * MIB, &[]);
    for (number, bytes) in
        [20 * MIB, 20 * MIB, 27 * MIB + 512, 11 * MIB + 3 * 512, 11 * MIB + 3 * 512].iter().enumerate()
    {
        if number == 2 || number == 3 {
            image.rbd(&["resize", "--allow-shrink", "--size", &format!("{bytes}B")]);
        }
        if number < 4 {
            image.change(&changes(&mut rng, *bytes));
        }
        image.snapshot(&format!("s{number}"));
    }
    image
}

fn export_diff(ceph: &Ceph, image: &Image<'_>, from: Option<&str>, to: &str, file: &Path) {
    let name = format!("{}@{to}", image.name());
    let from: Vec<&str> = from.iter().flat_map(|from| ["--from-snap", *from]).collect();
    ceph.rbd(&[&["export-diff", &name, file.to_str().unwrap()], &from[..]].concat());
}

fn import(repo: &Repo, file: &Path, args: &[&str]) -> serde_json::Value {
    repo.septet(["import-diff", "--json", "--volume", "vol"]).arg(file).args(args).ok().summary()
}

#[test]
fn what_rbd_exports_becomes_backups() {
    let ceph = Ceph::shared();
    for seed in 1..=2 {
        let scratch = Scratch::on_disk();
        let (repo, image) = (scratch.repo(), history(&ceph, seed));
        for number in 0..5 {
            let (file, name) = (scratch.path(&format!("diff{number}")), format!("s{number}"));
            let from = (number > 0).then(|| format!("s{}", number - 1));
            export_diff(&ceph, &image, from.as_deref(), &name, &file);
            let summary = import(&repo, &file, if number == 0 { &["--block-size", "64KiB"] } else { &[] });
            assert_eq!((&summary["backup"], &summary["parent"]), (&name.clone().into(), &from.into()));
            repo.assert_restores(&format!("vol/{name}"), &image.content(Some(&name)));
        }
        let summary = import(&repo, &scratch.path("diff4"), &["--id", "again", "--parent", "s3"]);
        assert_eq!((&summary["bytes_read"], &summary["blocks"]["data"]), (&0.into(), &0.into()), "nothing changed");
    }
}

#[test]
fn what_septet_exports_becomes_images() {
    let ceph = Ceph::shared();
    let scratch = Scratch::on_disk();
    let (repo, image, copy) = (scratch.repo(), history(&ceph, 3), ceph.image(MIB, &[]));
    for number in 0..5 {
        let name = format!("s{number}");
        let url = PathBuf::from(format!("rbd:{}@{name}", image.name()));
        let backup = ceph.known_to(repo.backup_command(&url)).args(["--volume", "vol", "--id", &name]);
        backup.args(if number == 0 { &["--block-size", "64KiB"][..] } else { &[] }).ok();
        let file = scratch.path(&name);
        let export = repo.septet(["export-diff", &name]).arg(&file);
        let from = format!("s{}", (number as u64).saturating_sub(1));
        export.args(if number == 0 { vec![] } else { vec!["--from", &from] }).ok();
        copy.import_diff(&std::fs::read(&file).unwrap());
        assert!(copy.content(None) == image.content(Some(&name)), "{name} differs");
        assert!(copy.snapshots().contains(&name), "the import makes the snapshot");
    }
    // A difference may span several backups.
    let direct = ceph.image(MIB, &[]);
    for (name, from) in [("s1", None), ("s3", Some("s1"))] {
        let file = scratch.path(&format!("direct-{name}"));
        let from: Vec<&str> = from.iter().flat_map(|from| ["--from", *from]).collect();
        repo.septet(["export-diff", name]).arg(&file).args(from).ok();
        direct.import_diff(&std::fs::read(&file).unwrap());
    }
    assert!(direct.content(None) == image.content(Some("s3")), "s3 differs");
    let unchanged = scratch.path("unchanged");
    repo.septet(["export-diff", "s4", "--from", "s3"]).arg(&unchanged).ok();
    assert!(std::fs::metadata(unchanged).unwrap().len() < 100, "nothing changed, so nothing is to be in it");
}

#[test]
fn version_2_goes_both_ways() {
    let ceph = Ceph::shared();
    let scratch = Scratch::on_disk();
    let (repo, image) = (scratch.repo(), ceph.image(9 * MIB + 1024, &[]));
    image.change(&changes(&mut Rng::new(4), 9 * MIB));
    // rbd uses this version only within the export of an image: a header, the number of differences, the differences.
    let file = scratch.path("image");
    ceph.rbd(&["export", "--export-format", "2", image.name(), file.to_str().unwrap()]);
    let whole = std::fs::read(&file).unwrap();
    let place = |banner: &[u8]| whole.windows(banner.len()).position(|bytes| bytes == banner).unwrap();
    let (diffs, start) = (place(DIFFS_BANNER), place(DIFFS_BANNER) + DIFFS_BANNER.len() + 8);
    let diff = scratch.file("diff", &whole[start..]);
    assert!(whole.starts_with(IMAGE_BANNER) && whole[start..].starts_with(b"rbd diff v2\n"));
    import(&repo, &diff, &["--id", "b"]);
    repo.assert_restores("b", &image.content(None));
    let exported = scratch.path("exported");
    repo.septet(["export-diff", "b", "--format", "v2", "--to-snap", "s"]).arg(&exported).ok();
    // rbd ends an export with a difference to the image itself. Ours ends at a snapshot, so one more follows.
    let exported = std::fs::read(exported).unwrap();
    let head = |name: &str| [&[b'f', 5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0][..], name.as_bytes()].concat();
    let size = [&[b's', 8, 0, 0, 0, 0, 0, 0, 0][..], &(9 * MIB + 1024).to_le_bytes()].concat();
    let last = [b"rbd diff v2\n", &head("s")[..], &size, b"e"].concat();
    let again = [&whole[..diffs], DIFFS_BANNER, &2u64.to_le_bytes(), &exported, &last].concat();
    let copy = ceph.name();
    let file = scratch.file("again", &again);
    ceph.rbd(&["import", "--export-format", "2", file.to_str().unwrap(), copy.name()]);
    assert!(copy.content(None) == image.content(None), "the image differs");
    assert_eq!(copy.snapshots(), ["s"]);
}

#[test]
fn through_pipes_and_without_ceph() {
    let scratch = Scratch::on_disk();
    let repo = scratch.repo();
    let content = mixed(1, (5 << 20) + 100, 200_000);
    repo.backup(&scratch.file("disk", &content), &["--id", "a", "--volume", "vol"]);
    let septet = septet_tests::binary().display();
    let repository = repo.path().display();
    let pipe = format!(
        "{septet} export-diff a --repo {repository} | {septet} import-diff --volume other --id b --repo {repository}"
    );
    command("bash", ["-o", "pipefail", "-c", &pipe]);
    repo.assert_restores("b", &content);
}

#[test]
fn what_can_t_be_imported_or_exported_is_said_in_one_line() {
    let scratch = Scratch::on_disk();
    let repo = scratch.repo();
    let file = scratch.file("disk", &noise(1, 1 << 20));
    for (id, volume) in [("a", "vol"), ("x", "other")] {
        repo.backup(&file, &["--id", id, "--volume", volume]);
    }
    let export = |words: &[&str], status, text: &str| repo.septet(["export-diff"]).args(words).fails(status, text);
    export(&["nothing"], 1, "nothing");
    export(&["a", "--from", "x"], 2, "is not a backup of the volume");
    export(&["a", file.to_str().unwrap()], 1, "cannot create a new file");
    let import = |stream: &[u8], args: &[&str], text: &str| {
        let file = scratch.file("stream", stream);
        repo.septet(["import-diff", "--volume", "vol"]).arg(file).args(args).fails(1, text);
    };
    import(b"#!/bin/sh and so on", &[], "it is not a stream of `rbd export-diff`");
    import(b"rbd diff v1\ns", &[], "it is incomplete");
    import(b"rbd diff v1\ne", &[], "the image's size is repeated");
    import(b"rbd diff v1\nq", &[], "unknown kind 'q'");
    let from = [&b"rbd diff v1\nf\x07\0\0\0nowhere"[..], b"s\0\x10\0\0\0\0\0\0e"].concat();
    import(&from, &[], "continues the snapshot nowhere");
    let huge = [&b"rbd diff v1\ns"[..], &[0xff; 8], b"e"].concat();
    import(&huge, &[], "cannot be imported");
    let cut =
        [&b"rbd diff v1\ns\0\x10\0\0\0\0\0\0w"[..], &0u64.to_le_bytes(), &4096u64.to_le_bytes(), b"too short"].concat();
    import(&cut, &[], "it is incomplete");
    assert!(repo.septet(["show", "vol@latest"]).ok().stdout.contains('a'), "nothing incomplete is there");
}
