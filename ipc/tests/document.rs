//! PROTOCOL.md matches the code: its examples are valid messages and events, and its lists of messages, states, fields
//! and limits are those of the code.

#![allow(clippy::unwrap_used, clippy::panic)]

mod samples;

use std::collections::BTreeSet;
use std::fs;

use septet_ipc::message::LINE_BYTES_MAX;
use septet_ipc::shm::ALIGN_BYTES;
use septet_ipc::{Event, Message};
use serde::Serialize;
use serde_json::Value;

type Names = BTreeSet<String>;

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../PROTOCOL.md");
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All values in blocks marked as JSON, in order.
fn examples(document: &str) -> Vec<Value> {
    let blocks = document.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.flat_map(|block| serde_json::Deserializer::from_str(block).into_iter().map(Result::unwrap)).collect()
}

/// The rows of the first table whose heading row is `heading`, as cells.
fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let cells = |row: &str| row.split('|').map(|cell| cell.trim().to_owned()).skip(1).collect();
    let rows = document.lines().skip_while(|line| *line != heading).take_while(|line| line.starts_with('|'));
    let rows: Vec<_> = rows.skip(2).map(cells).collect();
    assert!(!rows.is_empty(), "no table {heading}");
    rows
}

/// The names in the first column of a table.
fn names(document: &str, heading: &str) -> Names {
    table(document, heading).iter().flat_map(|row| quoted(&row[0])).collect()
}

/// The texts between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn keys(value: &Value) -> Names {
    value.as_object().unwrap().keys().cloned().collect()
}

fn text_of(value: impl Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}

fn line_of(message: &Message) -> Value {
    let mut line = Vec::new();
    message.encode(&mut line).unwrap();
    serde_json::from_slice(&line).unwrap()
}

/// The name of the message that a line holds. A command has no name.
fn name_of(line: &Value) -> String {
    if line.get("offset").is_some() { "command".to_owned() } else { keys(line).pop_first().unwrap() }
}

#[test]
fn each_example_reads_and_writes_as_it_stands() {
    let examples = examples(&document());
    assert!(examples.len() > 30, "only {} examples", examples.len());
    for example in examples {
        let again = if example.get("event").is_some() {
            serde_json::to_value(serde_json::from_value::<Event>(example.clone()).unwrap()).unwrap()
        } else {
            let line = serde_json::to_vec(&example).unwrap();
            line_of(&Message::decode(&line).unwrap_or_else(|error| panic!("{example}: {error}")))
        };
        assert_eq!(again, example);
    }
}

#[test]
fn it_lists_and_shows_every_message() {
    let document = document();
    let held: Names = samples::messages().iter().map(|message| name_of(&line_of(message))).collect();
    let listed = table(&document, "| message | direction | meaning |");
    let listed: Names = listed.iter().map(|row| row[0].trim_matches(['`', '*']).to_owned()).collect();
    assert_eq!(listed, held);
    let messages = examples(&document).into_iter().filter(|example| example.get("event").is_none());
    assert_eq!(messages.map(|example| name_of(&example)).collect::<Names>(), held);
}

#[test]
fn it_lists_and_shows_every_state() {
    let document = document();
    let held: Names = samples::states().map(text_of).into();
    assert_eq!(names(&document, "| state | said by | meaning |"), held);
    let mut shown: Names =
        examples(&document).iter().filter_map(|line| line["state"].as_str().map(str::to_owned)).collect();
    shown.insert("data".to_owned());
    assert_eq!(shown, held);
}

#[test]
fn it_lists_and_shows_every_event() {
    let document = document();
    let events = samples::events().map(|event| serde_json::to_value(event).unwrap());
    let held: Names = events.iter().map(|event| text_of(&event["event"])).collect();
    let shown: Names =
        examples(&document).iter().filter_map(|line| line["event"].as_str().map(str::to_owned)).collect();
    assert_eq!(shown, held);
    assert!(held.iter().all(|event| document.contains(&format!("**{event}**"))), "{held:?}");
}

#[test]
fn it_lists_every_kind_of_failure() {
    let held: Names = samples::failure_kinds().map(text_of).into();
    assert_eq!(names(&document(), "| kind | about |"), held);
}

#[test]
fn it_explains_every_field() {
    let document = document();
    let quoted: Names = quoted(&document.replace("```", "")).into_iter().collect();
    let mut fields = Names::new();
    for message in samples::messages() {
        let line = line_of(&message);
        fields.extend(keys(&line));
        fields.extend(line.as_object().unwrap().values().filter(|value| value.is_object()).flat_map(keys));
    }
    for event in samples::events() {
        fields.extend(keys(&serde_json::to_value(event).unwrap()));
    }
    for unnamed in ["event", "restore", "verify", "backup"] {
        fields.remove(unnamed);
    }
    let missing: Vec<_> = fields.difference(&quoted).collect();
    assert!(missing.is_empty(), "not explained: {missing:?}");
}

#[test]
fn its_tables_have_the_fields_of_the_code() {
    let document = document();
    let jobs = samples::jobs().map(|job| serde_json::to_value(job).unwrap());
    let jobs: Names = jobs.iter().flat_map(|job| job.as_object().unwrap().values().flat_map(keys)).collect();
    let tables =
        document.split("| field | meaning |").skip(1).map(|rest| names(&format!("| field |{rest}"), "| field |"));
    let held = [
        jobs,
        keys(&serde_json::to_value(samples::failure()).unwrap()),
        keys(&serde_json::to_value(samples::status()).unwrap()),
        keys(&serde_json::to_value(samples::progress()).unwrap()),
    ];
    assert_eq!(tables.collect::<Vec<_>>(), held);
    let command = line_of(&Message::Command(Box::new(samples::command())));
    assert_eq!(names(&document, "| field | type | meaning |"), keys(&command));
}

#[test]
fn its_limits_are_the_constants() {
    let limits = table(&document(), "| limit | value |");
    let told: Vec<_> = limits.iter().map(|row| row[..2].join(" ")).collect();
    let held = [
        format!("longest line, with its newline {LINE_BYTES_MAX}"),
        format!("alignment of units and slots {ALIGN_BYTES}"),
        // tests/hostile.rs tests these two.
        "pools that an agent takes 16".to_owned(),
        "file descriptors that wait for their lines 16".to_owned(),
    ];
    assert_eq!(told, held);
}

#[test]
fn its_garbage_is_refused_in_its_words() {
    for row in table(&document(), "| line | is refused with |") {
        let line = row[0].trim_matches('`');
        let error = Message::decode(line.as_bytes()).err().unwrap_or_else(|| panic!("{line} was taken")).to_string();
        assert!(error.contains(&row[1]), "{line}: {error}");
    }
}
