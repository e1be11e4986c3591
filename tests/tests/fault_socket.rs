//! Input from a broken or hostile neighbour. For any such input the agent reports the error in one event and ends
//! with status 1. It never panics, hangs or accepts the input.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use septet_tests::content::noise;
use septet_tests::{Repo, Scratch, binary, require_root};
use serde_json::{Value, json};

const AGENTS: [&str; 11] = [
    "master",
    "reader",
    "checksum",
    "diff",
    "compressor",
    "datawriter",
    "metawriter",
    "backupreader",
    "decompressor",
    "volumewriter",
    "s3worker",
];
const BLOCK_BYTES: u64 = 65536;
const VOLUME_BYTES: u64 = 1 << 20;
/// An agent that needs longer is considered hung.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// An agent that the test runs between two sockets.
struct Alone {
    name: String,
    child: Child,
    upstream: UnixStream,
    downstream: UnixStream,
}

impl Alone {
    fn start(name: &str) -> Self {
        require_root();
        let (upstream, stdin) = UnixStream::pair().expect("sockets");
        let (downstream, stdout) = UnixStream::pair().expect("sockets");
        let mut command = Command::new(binary());
        command.args(["agent", name]).stdin(OwnedFd::from(stdin)).stdout(OwnedFd::from(stdout)).stderr(Stdio::piped());
        let child = command.spawn().expect("starting an agent");
        Self { name: name.to_owned(), child, upstream, downstream }
    }

    /// Writes to its upstream socket. The agent may already have ended; that does not fail the test.
    fn tell(&mut self, bytes: &[u8]) {
        let _ = self.upstream.write_all(bytes);
    }

    fn tell_line(&mut self, line: &Value) {
        self.tell(format!("{line}\n").as_bytes());
    }

    /// Waits for its end. It must report the error once, with `text` in it.
    fn fails(mut self, case: &str, text: &str) {
        let case = format!("{}: {case}", self.name);
        let until = Instant::now() + TIME_LIMIT;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("waiting for an agent") {
                break status;
            }
            if Instant::now() > until {
                let _ = self.child.kill();
                panic!("{case}: it hangs");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let mut said = String::new();
        self.child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("reading what it said");
        assert_eq!(status.code(), Some(1), "{case}:\n{said}");
        let events = said
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{case}: {error}: {line}")));
        let failed: Vec<Value> = events.filter(|event: &Value| event["event"] == "failed").collect();
        // A worker and the reading thread may each find an error at the same time.
        assert!(
            (1..=2).contains(&failed.len()) && failed.iter().all(|event| event["agent"] == *self.name),
            "{case}:\n{said}"
        );
        let causes: Vec<&str> = failed.iter().map(|event| event["cause"].as_str().expect("a cause")).collect();
        assert!(
            causes.iter().any(|why| why.contains(text)) && !said.contains("os error"),
            "{case}: {text:?} expected in {causes:?}"
        );
    }
}

/// A repository with one backup, and the jobs with which agents are started.
struct Bench {
    scratch: Scratch,
    repo: Repo,
}

impl Bench {
    fn new() -> Self {
        let scratch = Scratch::in_memory();
        let repo = scratch.repo();
        let source = scratch.file("source", &noise(1, usize::try_from(VOLUME_BYTES).expect("small")));
        repo.backup_as("earlier", &source, &[]);
        Self { scratch, repo }
    }

    /// The job of the agent's pipeline, with `change` merged into it.
    fn begin(&self, agent: &str, change: &Value) -> Value {
        let id = &self.object("septet.json")["id"];
        let (kind, mut job) = match agent {
            "backupreader" | "decompressor" | "volumewriter" => ("restore", self.restore_job(id)),
            "s3worker" => ("delete", self.delete_job(id)),
            _ => ("backup", self.backup_job(id)),
        };
        let changes = change.as_object().into_iter().flatten().filter(|(key, _)| job.get(key.as_str()).is_some());
        let changes: Vec<(String, Value)> = changes.map(|(key, value)| (key.clone(), value.clone())).collect();
        job.as_object_mut().expect("an object").extend(changes);
        json!({ "begin": { kind: job } })
    }

    fn backup_job(&self, repository: &Value) -> Value {
        json!({
            "source": self.scratch.path("source"), "repo": self.repo.path(), "repository": repository,
            "source_kind": "file", "source_identity": "i", "machine": { "id": "m", "name": "h" },
            "volume": "vol", "backup": "new", "attempt": 0, "sequence": 2, "block_bytes": BLOCK_BYTES, "compression": "lz4",
            "streams": 1, "pool_bytes": 4 << 20, "segment_bytes": 16 << 20, "volume_bytes": VOLUME_BYTES,
        })
    }

    fn object(&self, key: &str) -> Value {
        let object = std::fs::read_to_string(self.repo.path().join(key)).expect(key);
        serde_json::from_str(&object).expect("JSON")
    }

    fn delete_job(&self, repository: &Value) -> Value {
        json!({ "repo": self.repo.path(), "repository": repository, "volume": "vol", "backups": ["nobody"] })
    }

    fn restore_job(&self, repository: &Value) -> Value {
        let manifest = &self.object("vol/earlier/manifest-0.json")["manifest"];
        let (checksums, map) = (&manifest["checksums"], &manifest["map"]);
        let backup = json!({ "backup": "earlier", "generation": 0, "checksums": checksums, "map": map });
        json!({
            "repo": self.repo.path(), "repository": repository, "volume": "vol", "backup": backup,
            "target": self.scratch.path("target"),
            "overwrite": false, "keep_going": false, "offset_bytes": 0, "length_bytes": VOLUME_BYTES,
            "volume_bytes": VOLUME_BYTES, "block_bytes": BLOCK_BYTES, "streams": 1, "pool_bytes": 4 << 20,
        })
    }

    /// Asserts that the agents left nothing.
    fn assert_clean(&self) {
        let begun = self.repo.objects().into_iter().filter(|object| object.starts_with("vol/new/")).collect::<Vec<_>>();
        assert_eq!(begun, [""; 0]);
        assert!(!self.scratch.path("target").exists());
    }
}

#[test]
fn what_comes_first_must_be_begin() {
    for agent in AGENTS {
        let before_begin = if agent == "master" { "the first line is not `begin`" } else { "before `begin`" };
        for (line, why) in [
            ("garbage\n", "not a valid line"),
            ("\n", "not a valid line"),
            ("{\"end\":false}\n", "not a valid line"),
            ("{\"offset\":0,\"size\":1,\"surprise\":1}\n", "not a valid line"),
            ("{\"offset\":18446744073709551615,\"size\":2}\n", "an extent that ends beyond 2^64"),
            ("{\"begin\":{\"backup\":{}}}\n", "not a valid line"),
            ("{\"pool\":{\"name\":\"reader_1\",\"unit_bytes\":4096,\"units\":1}}\n", "without its file descriptor"),
            ("{\"offset\":0,\"size\":65536}\n", before_begin),
            ("{\"segment_done\":", "the stream ended in the middle of a line"),
            (
                "",
                if agent == "master" {
                    "the connection to the agents closed"
                } else {
                    "the previous agent closed the connection without `end`"
                },
            ),
        ] {
            let mut alone = Alone::start(agent);
            alone.tell(line.as_bytes());
            let _ = alone.upstream.shutdown(Shutdown::Write);
            alone.fails(line, why);
        }
    }
}

#[test]
fn a_line_without_end_is_refused() {
    for agent in AGENTS {
        let mut alone = Alone::start(agent);
        // Longer than any line may be, and without a newline.
        alone.tell(&vec![b'x'; 2 << 20]);
        alone.fails("an oversized line", "a line of more than 1048576 bytes");
    }
}

#[test]
fn nonsense_after_begin_is_refused() {
    let bench = Bench::new();
    for agent in &AGENTS[1..] {
        for (lines, why) in [
            (&[json!({ "offset": 0, "size": BLOCK_BYTES, "shm_id": "reader_1_0" })][..], "reader_1"),
            (&[json!({ "release": ["reader_1_0"] })], "a release was received from upstream"),
            (&[bench.begin(agent, &Value::Null)], "`begin` was received twice"),
            (&[json!({ "table": { "kind": "checksums", "entries": 1 } })], "without its file descriptor"),
            (&[json!({ "error": { "kind": "store", "cause": "no space" } })], "an earlier agent failed"),
            (&[json!("garbage")], "not a valid line"),
        ] {
            let mut alone = Alone::start(agent);
            alone.tell_line(&bench.begin(agent, &Value::Null));
            lines.iter().for_each(|line| alone.tell_line(line));
            alone.fails(&format!("{lines:?}"), why);
        }
        let mut alone = Alone::start(agent);
        alone.tell_line(&bench.begin(agent, &Value::Null));
        let _ = alone.downstream.write_all(b"{\"end\":true}\n");
        alone.fails("a command from downstream", "a message other than a release was received from downstream");
        bench.assert_clean();
    }
}

#[test]
fn the_master_believes_only_what_it_asked_for() {
    let bench = Bench::new();
    for line in [
        json!({ "offset": 0, "size": 1, "state": "data" }),
        json!({ "offset": 1u64 << 40, "size": BLOCK_BYTES, "state": "present" }),
        json!({ "offset": 0, "size": 2 * VOLUME_BYTES, "state": "hole" }),
        json!({ "end": true }),
        json!({ "scanned": 7 }),
    ] {
        let mut alone = Alone::start("master");
        let begin = bench.begin("master", &Value::Null);
        alone.tell_line(&begin);
        alone.tell_line(&begin);
        alone.tell_line(&line);
        alone.fails(&line.to_string(), "");
    }
}

#[test]
fn hostile_jobs_end_in_good_order() {
    let bench = Bench::new();
    let wrong = "reader";
    let table = json!({ "generation": u32::MAX, "bytes": u64::MAX, "root": "0".repeat(64) });
    let huge = json!({ "backup": "earlier", "generation": 0, "checksums": table, "map": table });
    for agent in AGENTS {
        for change in [
            json!({ "block_bytes": 0 }),
            json!({ "block_bytes": 3 }),
            json!({ "block_bytes": u32::MAX }),
            json!({ "pool_bytes": 0 }),
            json!({ "pool_bytes": u64::MAX }),
            json!({ "streams": 0 }),
            json!({ "streams": u32::MAX }),
            json!({ "segment_bytes": 0 }),
            json!({ "segment_bytes": u64::MAX }),
            json!({ "volume_bytes": u64::MAX }),
            json!({ "sequence": u64::MAX }),
            json!({ "backup": huge, "parent": huge }),
            json!({ "offset_bytes": u64::MAX, "length_bytes": u64::MAX }),
            json!({ "source": "", "target": "" }),
            json!({ "repo": "" }),
            json!({ "repo": "/dev/null", "source": "/dev/null", "target": "/dev/null/x" }),
        ] {
            let mut alone = Alone::start(agent);
            let begin = bench.begin(agent, &change);
            alone.tell_line(&begin);
            if agent == "master" {
                alone.tell_line(&begin);
            }
            alone.tell_line(&json!({ "offset": 0, "size": BLOCK_BYTES, "state": "data" }));
            let _ = alone.upstream.shutdown(Shutdown::Write);
            // If it accepts the job, it fails because `end` is missing.
            alone.fails(&change.to_string(), "");
        }
        if !matches!(agent, "master" | "reader" | "checksum" | "diff" | "compressor" | "datawriter" | "metawriter") {
            let mut alone = Alone::start(agent);
            alone.tell_line(&bench.begin(wrong, &Value::Null));
            let _ = alone.upstream.shutdown(Shutdown::Write);
            alone.fails("another pipeline's job", "");
        }
    }
    bench.assert_clean();
}
