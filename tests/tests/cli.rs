//! The command line as an interface for programs: summaries, exit statuses and names.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use septet_tests::content::noise;
use septet_tests::{Repo, Scratch, binary, septet};
use serde_json::{Value, json};

const BLOCK: usize = 64 << 10;

/// A repository with one backup, b1 of vol.
fn small(scratch: &Scratch) -> Repo {
    let repo = scratch.repo();
    repo.backup_as("b1", &scratch.file("volume", &noise(1, 3 * BLOCK)), &[]);
    repo
}

/// Asserts that a JSON object has fields of these types: `s`tring, `n`umber (not negative), `a`rray,
/// `o`bject, `-` null.
fn assert_fields(object: &Value, fields: &[(&str, char)]) {
    for (name, kind) in fields {
        let value = &object[name];
        let right = match kind {
            's' => value.is_string(),
            'n' => value.as_f64().is_some_and(|number| number >= 0.0),
            'a' => value.is_array(),
            'o' => value.is_object(),
            _ => value.is_null() && object.get(name).is_some(),
        };
        assert!(right, "{name} should be {kind:?} in {object}");
    }
}

#[test]
fn the_summary_of_a_backup() {
    let scratch = Scratch::on_disk();
    let repo = small(&scratch);
    let common = [
        ("backup", 's'),
        ("volume", 's'),
        ("bytes_volume", 'n'),
        ("bytes_read", 'n'),
        ("bytes_stored", 'n'),
        ("blocks", 'o'),
        ("seconds", 'n'),
        ("cpu_seconds", 'n'),
        ("memory_peak_bytes", 'n'),
    ];
    let incremental = repo.backup_command(&scratch.path("volume")).args(["--volume", "vol"]).ok().summary();
    assert_fields(&incremental, &common);
    assert_fields(&incremental, &[("parent", 's')]);
    assert_fields(&incremental["blocks"], &[("data", 'n'), ("zero", 'n'), ("hole", 'n'), ("unchanged", 'n')]);
    let full = repo.backup_command(&scratch.path("volume")).arg("--full").ok().summary();
    assert_fields(&full, &[("parent", '-')]);
    assert_eq!(full["volume"], "volume", "it is named after its source");
}

#[test]
fn the_summary_of_a_restore() {
    let scratch = Scratch::in_memory();
    let summary = small(&scratch).restore("b1", &scratch.path("restored"), &[]).summary();
    let fields = [
        ("backup", 's'),
        ("volume", 's'),
        ("bytes_volume", 'n'),
        ("bytes_restored", 'n'),
        ("damaged", 'a'),
        ("seconds", 'n'),
        ("cpu_seconds", 'n'),
        ("memory_peak_bytes", 'n'),
    ];
    assert_fields(&summary, &fields);
}

#[test]
fn what_a_run_costs_is_plausible() {
    let scratch = Scratch::in_memory();
    let repo = scratch.repo();
    let backed = repo.backup(&scratch.file("volume", &noise(2, 64 << 20)), &["--id", "b1"]);
    // At least seven processes and three pools; at most the promised memory.
    assert!((16 << 20..200 << 20).contains(&backed.memory_peak_bytes), "{} bytes", backed.memory_peak_bytes);
    assert!(backed.cpu_seconds > 0.01 && backed.seconds > 0.0, "{backed:?}");
    let summary = repo.restore("b1", &scratch.path("restored"), &[]).summary();
    let memory = summary["memory_peak_bytes"].as_u64().unwrap();
    assert!((16 << 20..200 << 20).contains(&memory), "{memory} bytes");
    assert!(summary["cpu_seconds"].as_f64().unwrap() > 0.01, "{summary}");
}

#[test]
fn list_and_show() {
    let scratch = Scratch::in_memory();
    let repo = small(&scratch);
    repo.backup(&scratch.path("volume"), &["--volume", "vol", "--id", "b2"]);
    let lines = repo.septet(["list", "--json"]).ok().events();
    assert_eq!(lines.iter().map(|line| &line["backup"]).collect::<Vec<_>>(), ["b1", "b2"]);
    assert_fields(&lines[1], &[("volume", 's'), ("parent", 's'), ("sequence", 'n'), ("created", 's'), ("blocks", 'o')]);
    assert!(repo.septet(["list", "vol"]).ok().stdout.contains("vol/b2"));
    repo.septet(["list", "nobody"]).fails(1, "nobody");
    let shown = repo.septet(["show", "b2", "--json"]).ok().events();
    assert_fields(
        &shown[0],
        &[
            ("sources", 'a'),
            ("source", 'o'),
            ("machine", 'o'),
            ("generation", 'n'),
            ("volume_bytes", 'n'),
            ("checksums", 'o'),
            ("map", 'o'),
        ],
    );
    assert!(repo.septet(["show", "vol@latest"]).ok().stdout.contains("vol/b2"));
}

#[test]
fn a_backup_is_named_by_its_id_its_volume_or_as_the_latest() {
    let scratch = Scratch::in_memory();
    let repo = small(&scratch);
    let changed = noise(3, 2 * BLOCK);
    repo.backup_as("b2", &scratch.file("volume", &changed), &[]);
    for backup in ["b2", "vol/b2", "vol@latest"] {
        repo.assert_restores(backup, &changed);
    }
    repo.backup(&scratch.path("volume"), &["--volume", "other", "--id", "b2"]);
    repo.restore_command("b2", &scratch.path("restored")).fails(1, "other");
    repo.assert_restores("other/b2", &changed);
}

#[test]
fn names_that_are_refused() {
    let scratch = Scratch::in_memory();
    let repo = small(&scratch);
    let before = repo.objects();
    let long = "x".repeat(300);
    let odd: [&OsStr; 10] = [
        OsStr::new(""),
        OsStr::new("a/b"),
        OsStr::new(".."),
        OsStr::new("../b1"),
        OsStr::new("a b"),
        OsStr::new(" "),
        OsStr::new(&long),
        OsStr::new("latest@"),
        OsStr::new("ü"),
        OsStr::from_bytes(b"\xff\xfe"),
    ];
    for name in odd {
        for option in ["--volume", "--id", "--parent"] {
            let outcome = repo.backup_command(&scratch.path("volume")).arg(option).arg(name).run().exits(2);
            assert!(!outcome.stderr.is_empty());
        }
        // As a BACKUP this means a volume and an id, and both might exist.
        let status = if name == "a/b" { 1 } else { 2 };
        repo.septet(["restore"]).arg(name).arg(scratch.path("restored")).run().exits(status);
        repo.septet(["delete"]).arg(name).run().exits(status);
        repo.septet(["list"]).arg(name).run().exits(2);
    }
    assert_eq!(repo.objects(), before);
    repo.backup_command(&scratch.path("volume")).args(["--volume", "vol", "--id", "b1"]).fails(1, "exists already");
    repo.backup_command(&scratch.path("volume")).args(["--volume", "vol", "--id", "latest"]).run().exits(2);
    repo.backup_command(&scratch.path("volume")).args(["--volume", "septet.json"]).run().exits(2);
    assert_eq!(repo.objects(), before);
    assert!(!scratch.path("restored").exists());
}

#[test]
fn a_path_that_is_not_utf8() {
    let scratch = Scratch::in_memory();
    let repo = small(&scratch);
    let odd = scratch.dir().join(OsStr::from_bytes(b"volume-\xff"));
    std::fs::write(&odd, b"x").unwrap();
    repo.backup_command(&odd).fails(2, "UTF-8");
    std::fs::remove_file(&odd).unwrap();
    repo.restore_command("b1", &odd).fails(2, "UTF-8");
    assert!(!odd.exists());
}

#[test]
fn the_repository_from_the_environment() {
    let scratch = Scratch::in_memory();
    small(&scratch);
    let lines = septet(["list"]).env("SEPTET_REPO", scratch.path("repo")).ok().stdout;
    assert!(lines.contains("vol/b1"), "{lines}");
    septet(["list"]).run().exits(2);
    // The option takes precedence, a relative path starts at the working directory, and a URL may name a path.
    septet(["list", "--repo", "repo"]).env("SEPTET_REPO", "/nowhere").current_dir(scratch.dir()).ok();
    septet(["list", "--repo", &format!("file://{}", scratch.path("repo").display())]).ok();
    septet(["list", "--repo", ""]).run().exits(2);
    septet(["list", "--repo", "gopher://x/y"]).run().exits(1);
}

#[test]
fn what_is_no_repository() {
    let scratch = Scratch::in_memory();
    let volume = scratch.file("volume", &noise(1, 1000));
    for words in
        [&["list"][..], &["verify"], &["delete", "b1"], &["show", "b1"], &["restore", "b1", "x"], &["rebuild", "b1"]]
    {
        let outcome = Repo::at(scratch.path("nothing")).septet(words).current_dir(scratch.dir()).run().exits(1);
        assert!(outcome.error_line().contains("nothing"), "{outcome:?}");
        assert!(!scratch.path("nothing").exists(), "only a backup makes a repository");
    }
    std::fs::create_dir(scratch.path("full")).unwrap();
    std::fs::write(scratch.path("full/letter"), "private").unwrap();
    Repo::at(scratch.path("full")).backup_command(&volume).fails(1, "full");
    assert_eq!(Repo::at(scratch.path("full")).objects(), ["letter"]);
    Repo::at(volume.clone()).backup_command(&volume).fails(1, "volume");
}

#[test]
fn help_for_each_command() {
    let overview = septet(["--help"]).ok().stdout;
    for command in ["backup", "restore", "delete", "verify", "list", "show", "rebuild", "smoke"] {
        assert!(overview.contains(command), "{command} is missing in:\n{overview}");
        let help = septet([command, "--help"]).ok().stdout;
        assert!(help.contains("--repo") && help.contains(&format!("septet {command}")), "{help}");
    }
    assert!(septet(["--version"]).ok().stdout.starts_with("septet "));
}

#[test]
fn wrong_usage() {
    let scratch = Scratch::in_memory();
    let repo = small(&scratch);
    let source = scratch.path("volume");
    for words in [&[][..], &["burn"], &["backup"], &["delete"], &["restore", "b1"], &["list", "--colour"]] {
        repo.septet(words).run().exits(2);
    }
    for options in [
        ["--block-size", "3MiB"],
        ["--block-size", "32KiB"],
        ["--block-size", "8MiB"],
        ["--block-size", "x"],
        ["--compression", "gzip"],
        ["--streams", "0"],
        ["--streams", "-1"],
        ["--timeout", "0"],
    ] {
        repo.backup_command(&source).args(options).run().exits(2);
    }
    assert_eq!(repo.septet(["list", "--json"]).ok().events().len(), 1);
}

#[test]
fn a_failure_is_told_in_one_line_and_in_json() {
    let scratch = Scratch::in_memory();
    let repo = small(&scratch);
    for (arguments, status, kind) in [
        (&["backup", "/missing", "--json"][..], 1, "volume"),
        (&["show", "missing", "--json"], 1, "not_found"),
        (&["list", "missing", "--json"], 1, "not_found"),
        (&["show", "miss!ing", "--json"], 2, "bad_request"),
    ] {
        let outcome = repo.septet(arguments).fails(status, "miss");
        let last = outcome.events().pop().unwrap();
        assert_eq!((&last["event"], &last["kind"]), (&json!("error"), &json!(kind)), "{last}");
        assert!(last["message"].as_str().unwrap().contains("miss"), "{last}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let scratch = Scratch::in_memory();
    let repo = small(&scratch);
    // head ends at once. The exit status is septet's.
    let line = format!(
        "'{}' list --repo '{}' | head -c 0; exit ${{PIPESTATUS[0]}}",
        binary().display(),
        repo.path().display()
    );
    let output = Command::new("bash").args(["-c", &line]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn without_json_a_short_summary_for_people() {
    let scratch = Scratch::in_memory();
    let repo = small(&scratch);
    let outcome = repo.septet(["backup", "--volume", "vol"]).arg(scratch.path("volume")).ok();
    assert!(outcome.stdout.contains("3 unchanged") && outcome.stdout.lines().count() <= 5, "{}", outcome.stdout);
    assert!(outcome.stderr.is_empty(), "no progress bar where there is no terminal: {}", outcome.stderr);
}
