//! An agent between two neighbours that violate PROTOCOL.md. It reports the error downstream and on standard error,
//! and ends with status 1.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use septet_tests::binary;
use serde_json::Value;

const TIME_LIMIT: Duration = Duration::from_secs(30);
const BEGIN: &str = r#"{"begin":{"verify":{"repo":"/nowhere","repository":"01234567-89ab-4def-8123-456789abcdef","volume":"vol","backups":[],"block_bytes":65536,"streams":1,"pool_bytes":65536}}}"#;

/// An agent, and its neighbours' ends of its sockets.
struct Scripted {
    agent: Child,
    up: UnixStream,
    down: UnixStream,
}

impl Scripted {
    fn start(agent: &str) -> Self {
        let (up, input) = UnixStream::pair().expect("a socket pair");
        let (down, output) = UnixStream::pair().expect("a socket pair");
        for socket in [&up, &down] {
            socket.set_read_timeout(Some(TIME_LIMIT)).expect("a time limit");
            socket.set_write_timeout(Some(TIME_LIMIT)).expect("a time limit");
        }
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "60"]).arg(binary()).args(["agent", agent]);
        command.stdin(OwnedFd::from(input)).stdout(OwnedFd::from(output)).stderr(Stdio::piped());
        Self { agent: command.spawn().expect("starting the agent"), up, down }
    }

    fn hears(&mut self, line: &str) -> &mut Self {
        // It may have refused an earlier part and ended.
        let _ = self.up.write_all(line.as_bytes()).and_then(|()| self.up.write_all(b"\n"));
        self
    }

    fn hears_from_downstream(&mut self, line: &str) -> &mut Self {
        let _ = self.down.write_all(line.as_bytes()).and_then(|()| self.down.write_all(b"\n"));
        self
    }

    /// Reads the agent's output downstream until it contains `text`.
    fn says(&mut self, text: &str) -> &mut Self {
        let mut said = Vec::new();
        while !String::from_utf8_lossy(&said).contains(text) {
            let mut byte = [0];
            assert_eq!(self.down.read(&mut byte).expect("the agent says nothing"), 1, "it went away");
            said.push(byte[0]);
        }
        self
    }

    /// The agent's process id, which is part of its pool's name.
    fn own_pid(&mut self) -> String {
        let mut pid = String::new();
        let mut byte = [0];
        while self.down.read(&mut byte).is_ok_and(|read| read == 1) && byte[0].is_ascii_digit() {
            pid.push(byte[0].into());
        }
        pid
    }

    /// Waits for its end. It must have reported `kind` and `cause` both ways.
    fn fails(&mut self, kind: &str, cause: &str) {
        let mut down = String::new();
        // If it left input unread, this is a reset instead of an end of file.
        let _ = self.down.read_to_string(&mut down);
        let mut events = String::new();
        self.agent.stderr.take().expect("piped").read_to_string(&mut events).expect("its events");
        assert_eq!(self.agent.wait().expect("its status").code(), Some(1), "{events}");
        let lines =
            |text: &str| -> Vec<Value> { text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect() };
        let is_it = |failure: &Value| {
            failure["kind"] == kind && failure["cause"].as_str().is_some_and(|text| text.contains(cause))
        };
        assert!(
            lines(&events).iter().any(|event| event["event"] == "failed" && is_it(event)),
            "{kind} {cause}: {events}"
        );
        assert!(lines(&down).iter().any(|line| is_it(&line["error"])), "{kind} {cause}: {down}");
    }
}

#[test]
fn lines_that_are_no_messages_end_it() {
    Scripted::start("checksum").hears("backup everything").fails("protocol", "not a valid line");
    Scripted::start("checksum")
        .hears(r#"{"offset":0,"size":1,"shm_id":"/etc/passwd"}"#)
        .fails("protocol", "not a valid");
    Scripted::start("checksum").hears(&"x".repeat(3 << 20)).fails("protocol", "a line of more than 1048576 bytes");
}

#[test]
fn a_stream_that_is_cut_off_ends_it() {
    for (line, kind, cause) in [
        (r#"{"end":tr"#, "protocol", "in the middle of a line"),
        ("", "peer", "the previous agent closed the connection without `end`"),
    ] {
        let mut agent = Scripted::start("checksum");
        agent.up.write_all(line.as_bytes()).expect("it listens");
        agent.up.shutdown(Shutdown::Write).expect("it listens");
        agent.fails(kind, cause);
    }
}

#[test]
fn messages_at_the_wrong_time_end_it() {
    Scripted::start("checksum").hears(r#"{"offset":0,"size":1}"#).fails("protocol", "a command came before `begin`");
    Scripted::start("checksum").hears(BEGIN).hears(BEGIN).fails("protocol", "`begin` was received twice");
    Scripted::start("diff").hears(BEGIN).fails("protocol", "diff runs only in a backup");
    let pool = r#"{"pool":{"name":"reader_1","unit_bytes":4096,"units":1}}"#;
    Scripted::start("checksum").hears(pool).fails("protocol", "without its file descriptor");
}

#[test]
fn messages_from_the_wrong_side_end_it() {
    Scripted::start("checksum")
        .hears(r#"{"release":["reader_1_0"]}"#)
        .fails("protocol", "a release was received from upstream");
    Scripted::start("checksum")
        .hears(BEGIN)
        .hears_from_downstream(r#"{"end":true}"#)
        .fails("protocol", "a message other than a release");
}

#[test]
fn slots_that_are_not_there_end_it() {
    let command = r#"{"offset":0,"size":65536,"shm_id":"reader_1_0"}"#;
    Scripted::start("checksum").hears(BEGIN).hears(command).fails("protocol", "in a pool that was never announced");
}

#[test]
fn a_slot_of_its_own_that_is_not_out_ends_it() {
    let mut agent = Scripted::start("decompressor");
    let pid = agent.hears(BEGIN).says("decompressor_").own_pid();
    agent
        .hears_from_downstream(&format!(r#"{{"release":["decompressor_{pid}_0"]}}"#))
        .fails("protocol", "is not in use");
}

#[test]
fn a_release_of_somebody_elses_slot_goes_on_up() {
    let mut agent = Scripted::start("checksum");
    let release = "{\"release\":[\"reader_1_0\"]}\n";
    agent.hears(BEGIN).says("begin").hears_from_downstream(release.trim_end());
    let mut up = vec![0; release.len()];
    agent.up.read_exact(&mut up).expect("the release");
    assert_eq!(String::from_utf8_lossy(&up), release);
    agent.hears(r#"{"end":true}"#);
    assert_eq!(agent.agent.wait().expect("its status").code(), Some(0));
}

#[test]
fn an_error_from_upstream_is_passed_on_and_ends_it() {
    let mut agent = Scripted::start("checksum");
    agent.hears(BEGIN).hears(r#"{"error":{"kind":"volume","agent":"reader","cause":"the disk is gone"}}"#);
    agent.says("the disk is gone").fails("peer", "an earlier agent failed");
}
