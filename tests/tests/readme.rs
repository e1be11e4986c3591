//! The commands in the documents: those on the README's first page do what it says, and all options exist.

use std::fs;

use septet_tests::content::mixed;
use septet_tests::{Scratch, assert_bytes, septet, workspace_dir};

const DOCUMENTS: [&str; 3] = ["README.md", "PROTOCOL.md", "cinder-shim/README.md"];

fn document(name: &str) -> String {
    fs::read_to_string(workspace_dir().join(name)).unwrap()
}

/// The words of each `septet` command in the shell code blocks.
fn commands(document: &str) -> Vec<Vec<String>> {
    let blocks = document.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).map(|line| line.split(" #").next().unwrap_or_default());
    let commands = lines.flat_map(|line| line.split('|')).map(|command| command.split_whitespace().map(str::to_owned));
    commands
        .map(Iterator::collect::<Vec<_>>)
        .filter(|words| words.first().is_some_and(|word| word == "septet"))
        .collect()
}

#[test]
fn the_first_commands_do_what_the_readme_says() {
    let scratch = Scratch::on_disk();
    let content = mixed(3, 5 << 20, 300_000);
    let repo = scratch.repo();
    scratch.file("vdb", &content);
    scratch.file("vdc", &vec![b'x'; content.len()]);
    let readme = document("README.md");
    let used = readme.split("## Use\n").nth(1).unwrap().split("\n#").next().unwrap();
    let here = |word: &str| match word {
        "/backup" => repo.path().to_str().unwrap().to_owned(),
        "/dev/vdb" | "/dev/vdc" | "disk.img" => {
            scratch.path(word.rsplit('/').next().unwrap()).to_str().unwrap().to_owned()
        }
        id if id.contains('Z') => {
            let object = repo.objects().into_iter().find(|key| key.ends_with("manifest-0.json")).unwrap();
            object.split('/').rev().nth(1).unwrap().to_owned()
        }
        word => word.to_owned(),
    };
    let commands = commands(used);
    for words in &commands {
        septet(words[1..].iter().map(|word| here(word))).ok();
    }
    let ran: Vec<_> = commands.iter().map(|words| words[1].as_str()).collect();
    assert_eq!(ran, ["backup", "list", "restore", "restore", "verify", "verify", "delete", "smoke"]);
    assert_bytes(&scratch.path("vdc"), &content);
    assert_bytes(&scratch.path("disk.img"), &content);
}

#[test]
fn every_option_that_a_document_shows_is_there() {
    let mut shown = 0;
    for name in DOCUMENTS {
        for words in commands(&document(name)) {
            let help = septet([&words[1], "--help"]).ok().stdout;
            for option in words.iter().filter_map(|word| word.split('=').next()).filter(|word| word.starts_with("--")) {
                assert!(help.contains(option), "{name}: septet {} has no {option}", words[1]);
                shown += 1;
            }
        }
    }
    assert!(shown > 20, "only {shown} options found");
}
