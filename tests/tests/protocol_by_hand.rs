//! The program in PROTOCOL.md runs an agent by hand and prints the output that the document shows.

use std::fs;
use std::process::Command;

use septet_tests::{Scratch, binary, workspace_dir};

/// The content of the document's only code block in `language`.
fn block<'a>(document: &'a str, language: &str) -> &'a str {
    let fence = format!("```{language}\n");
    let mut blocks = document.split(&fence).skip(1);
    let block = blocks.next().and_then(|rest| rest.split("```").next()).expect("PROTOCOL.md has lost its program");
    assert!(blocks.next().is_none(), "PROTOCOL.md has two blocks of {language}");
    block
}

#[test]
fn the_program_in_the_document_runs_an_agent() {
    let document = fs::read_to_string(workspace_dir().join("PROTOCOL.md")).expect("PROTOCOL.md");
    let scratch = Scratch::in_memory();
    let program = scratch.file("by_hand.py", block(&document, "python").as_bytes());
    let output = Command::new("timeout").args(["60", "python3"]).arg(program).arg(binary()).output().expect("python3");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stdout), block(&document, "text"));
    assert!(said.contains(r#""event":"status","agent":"checksum""#), "{said}");
}
