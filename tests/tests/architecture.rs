//! Checks which crate uses which, against the picture in ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use septet_tests::circles::circles;
use septet_tests::workspace_dir;
use serde_json::Value;

/// A crate and the crates of the workspace that it may use. Crates that run agents may also use [`TO_RUN_AGENTS`].
const ARROWS: [(&str, &[&str]); 23] = [
    ("septet-sandbox", &[]),
    ("septet-format", &[]),
    ("septet-store", &["septet-sandbox"]),
    ("septet-volume", &[]),
    ("septet-repository", &["septet-format", "septet-store"]),
    ("septet-ipc", &["septet-format", "septet-sandbox"]),
    ("septet-agent-master", &PURE),
    ("septet-agent-reader", &["septet-format", "septet-ipc", "septet-volume"]),
    ("septet-agent-checksum", &PURE),
    ("septet-agent-diff", &PURE),
    ("septet-agent-compressor", &PURE),
    ("septet-agent-datawriter", &OF_REPOSITORIES),
    ("septet-agent-metawriter", &OF_REPOSITORIES),
    ("septet-agent-backupreader", &OF_REPOSITORIES),
    ("septet-agent-decompressor", &PURE),
    ("septet-agent-volumewriter", &["septet-ipc", "septet-volume"]),
    ("septet-agent-s3worker", &["septet-ipc", "septet-repository"]),
    ("septet-engine", &BELOW_THE_ENGINE),
    ("septet", &["septet-sandbox"]),
    ("septet-rbd", &OF_IMAGES),
    ("septet-tests", &["septet-store", "septet-volume"]),
    ("septet-simulation", &["septet-store"]),
    ("septet-bench", &["septet-format", "septet-ipc"]),
];
/// An agent that needs only its sockets and shared memory.
const PURE: [&str; 2] = ["septet-format", "septet-ipc"];
const OF_IMAGES: [&str; 5] =
    ["septet-agent-reader", "septet-agent-volumewriter", "septet-format", "septet-ipc", "septet-volume"];
const OF_REPOSITORIES: [&str; 3] = ["septet-format", "septet-ipc", "septet-repository"];
const BELOW_THE_ENGINE: [&str; 5] =
    ["septet-format", "septet-ipc", "septet-repository", "septet-sandbox", "septet-volume"];
/// The binary contains all agents and selects one by name. The simulation runs all of them in one process.
const RUN_AGENTS: [&str; 2] = ["septet", "septet-simulation"];
/// The crates that these two may use in addition to their own list.
const TO_RUN_AGENTS: [&str; 15] = [
    "septet-agent-backupreader",
    "septet-agent-checksum",
    "septet-agent-compressor",
    "septet-agent-datawriter",
    "septet-agent-decompressor",
    "septet-agent-diff",
    "septet-agent-master",
    "septet-agent-metawriter",
    "septet-agent-reader",
    "septet-agent-s3worker",
    "septet-agent-volumewriter",
    "septet-engine",
    "septet-format",
    "septet-ipc",
    "septet-repository",
];
/// An agent that needs only slots depends on no crate that can open a socket or a store.
const NETWORK: [&str; 4] = ["tokio", "hyper", "aws-sdk-s3", "rustls"];

/// The allowed dependencies of each crate.
fn arrows() -> BTreeMap<&'static str, Vec<&'static str>> {
    let all = |(name, own): (&'static str, &[&'static str])| {
        let more: &[_] = if RUN_AGENTS.contains(&name) { &TO_RUN_AGENTS } else { &[] };
        (name, [own, more].concat())
    };
    ARROWS.into_iter().map(all).collect()
}

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(workspace_dir())
        .output()
        .expect("cargo can't be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn packages() -> Vec<Value> {
    metadata()["packages"].as_array().expect("packages").clone()
}

/// The dependencies of a crate's code, and optionally of its tests.
fn uses(package: &Value, with_tests: bool) -> BTreeSet<String> {
    let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
    let counted = dependencies.filter(|dependency| with_tests || dependency["kind"].is_null());
    counted.map(|dependency| name(dependency).to_owned()).collect()
}

fn name(object: &Value) -> &str {
    object["name"].as_str().expect("a name")
}

#[test]
fn no_arrow_but_those_drawn() {
    let allowed = arrows();
    for package in packages() {
        let allowed =
            allowed.get(name(&package)).unwrap_or_else(|| panic!("{} is new: draw its arrows here", name(&package)));
        let ours = uses(&package, true).into_iter().filter(|used| used.starts_with("septet"));
        let drawn: BTreeSet<_> = allowed.iter().map(|&used| used.to_owned()).collect();
        // A crate's tests may enable features of the crate itself.
        let more: Vec<_> = ours.filter(|used| !drawn.contains(used) && used != name(&package)).collect();
        assert!(more.is_empty(), "{} uses {more:?}, which ARCHITECTURE.md does not draw", name(&package));
    }
}

#[test]
fn every_arrow_drawn_is_there() {
    let packages: BTreeMap<_, _> = packages().into_iter().map(|package| (name(&package).to_owned(), package)).collect();
    for (crate_name, drawn) in arrows() {
        // Some builds have a workspace without bench/.
        let Some(package) = packages.get(crate_name) else { continue };
        let used = uses(package, false);
        for needed in drawn {
            assert!(
                used.contains(needed),
                "{crate_name} no longer uses {needed}: take the arrow away here and in ARCHITECTURE.md"
            );
            let manifest = Path::new(package["manifest_path"].as_str().expect("a path"));
            assert!(
                mentions(&manifest.with_file_name("src"), &needed.replace('-', "_")),
                "{crate_name} depends on {needed} and does not use it: take the arrow away in its Cargo.toml, too"
            );
        }
    }
}

/// Whether one of the sources contains the crate's name.
fn mentions(source: &Path, crate_name: &str) -> bool {
    if source.is_dir() {
        return std::fs::read_dir(source).unwrap().any(|entry| mentions(&entry.unwrap().path(), crate_name));
    }
    let text = std::fs::read_to_string(source).unwrap_or_default();
    let boundary = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(crate_name).any(|(at, found)| boundary(text[at + found.len()..].chars().next()))
}

#[test]
fn agents_that_need_no_network_have_none() {
    for package in packages()
        .iter()
        .filter(|package| !["septet-store", "septet", "septet-tests", "septet-bench"].contains(&name(package)))
    {
        let used = uses(package, false);
        let network: Vec<_> = NETWORK.into_iter().filter(|part| used.contains(*part)).collect();
        assert!(network.is_empty(), "{} uses {network:?}; only septet-store may", name(package));
    }
}

#[test]
fn all_but_the_binary_for_ceph_is_built_where_there_is_no_librbd() {
    let metadata = metadata();
    let names = |key: &str| -> BTreeSet<String> {
        let ids = metadata[key].as_array().expect("packages' ids").iter().map(|id| id.as_str().expect("an id"));
        ids.map(|id| id.rsplit('/').next().unwrap_or_default().split('#').next().unwrap_or_default().to_owned())
            .collect()
    };
    let more: Vec<_> = names("workspace_members").difference(&names("workspace_default_members")).cloned().collect();
    assert_eq!(more, ["rbd"]);
    for package in packages().iter().filter(|package| name(package) != "septet-rbd") {
        assert!(!uses(package, true).contains("septet-rbd"), "{} uses septet-rbd", name(package));
    }
}

#[test]
fn every_agent_is_small() {
    for entry in std::fs::read_dir(workspace_dir().join("agents")).unwrap() {
        let lib = entry.unwrap().path().join("src/lib.rs");
        let text = std::fs::read_to_string(&lib).unwrap_or_else(|error| panic!("{}: {error}", lib.display()));
        assert!(text.starts_with("//!"), "{} does not say what it is", lib.display());
        assert!(
            text.lines().count() <= 300,
            "{} has {} lines: an agent is a small thing",
            lib.display(),
            text.lines().count()
        );
    }
}

#[test]
fn no_two_files_of_a_crate_use_each_other() {
    for package in packages() {
        let manifest = Path::new(package["manifest_path"].as_str().expect("a path"));
        let circles = circles(&manifest.with_file_name("src"));
        assert!(circles.is_empty(), "{}:\n{}", name(&package), circles.join("\n"));
    }
}
