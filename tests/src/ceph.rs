//! A real Ceph for the tests: one temporary cluster, which all tests of a run [share](crate::shared). If `SEPTET_CEPH`
//! names the directory of a cluster that `tests/ceph` has started, the tests use that cluster.
//!
//! Each test has images of its own. A test that stops a daemon or fills the cluster locks it exclusively meanwhile.
//! Images are changed by `rbd import-diff` and read by `rbd export`, so no code under test makes or checks the data.

use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use rustix::fs::FlockOperation;
use rustix::process::{Pid, Signal, kill_process};

use crate::run::{Septet, septet};
use crate::s3::Server;
use crate::{binary, build_rbd_binary, command, is_alive, shared, workspace_dir};

/// The cluster, as one test uses it.
#[derive(Debug)]
pub struct Ceph {
    directory: PathBuf,
    /// Held as long as the test uses the cluster.
    _lock: File,
}

impl Ceph {
    /// The cluster, shared with other tests.
    pub fn shared() -> Self {
        Self::get(FlockOperation::LockShared)
    }

    /// The cluster, exclusively.
    pub fn alone() -> Self {
        Self::get(FlockOperation::LockExclusive)
    }

    fn get(share: FlockOperation) -> Self {
        binary();
        build_rbd_binary();
        let directory = directory();
        let _lock = shared::lock(&directory, "alone.lock", share);
        Self { directory, _lock }
    }

    /// The cluster's S3 gateway, radosgw. The first test that needs it starts it.
    pub fn gateway(&self) -> Server {
        start_once(&self.directory, "rgw", "rgw/user.json");
        let env = fs::read_to_string(self.directory.join("env")).expect("what tests/ceph says of the cluster");
        let said = |name: &str| {
            let line = env.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap_or_else(|| panic!("tests/ceph does not say {name}")).to_owned()
        };
        Server { endpoint: said("S3_ENDPOINT"), access_key: said("S3_ACCESS_KEY"), secret_key: said("S3_SECRET_KEY") }
    }

    /// Its configuration file.
    pub fn conf(&self) -> PathBuf {
        self.directory.join("ceph.conf")
    }

    /// The command `septet WORDS`, configured for the cluster.
    pub fn septet(&self, words: &[&str]) -> Septet {
        self.known_to(septet(words))
    }

    /// Configures a command for the cluster.
    pub fn known_to(&self, command: Septet) -> Septet {
        command.env("CEPH_CONF", self.conf())
    }

    /// Runs `rbd WORDS` and returns its output.
    pub fn rbd(&self, words: &[&str]) -> String {
        command("rbd", [&["--conf", &self.conf().to_string_lossy()], words].concat())
    }

    /// Runs `ceph WORDS` and returns its output.
    pub fn ceph(&self, words: &[&str]) -> String {
        command("ceph", [&["--conf", &self.conf().to_string_lossy()], words].concat())
    }

    /// Creates an image with an unused name and with more `args`.
    pub fn image(&self, bytes: u64, args: &[&str]) -> Image<'_> {
        let image = self.name();
        self.rbd(&[&["create", &image.name, "--size", &format!("{bytes}B")], args].concat());
        image
    }

    /// An image with an unused name, not created yet.
    pub fn name(&self) -> Image<'_> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("rbd/t{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        Image { ceph: self, name }
    }

    /// The process id of a daemon: `mon.a` or `osd.0`.
    pub fn pid(&self, daemon: &str) -> u32 {
        let path = self.directory.join(format!("run/{daemon}.pid"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.trim().parse().expect("a process id")
    }

    /// Sends a daemon a signal.
    pub fn signal(&self, daemon: &str, signal: Signal) {
        let pid = i32::try_from(self.pid(daemon)).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("sending a signal");
    }

    /// Restarts a daemon that was killed.
    pub fn restart(&self, daemon: &str) {
        let pid = self.pid(daemon);
        while is_alive(pid) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        script(&daemon[..3], &self.directory, &[]);
    }
}

/// The directory of the cluster. Starts the cluster if necessary.
fn directory() -> PathBuf {
    if let Some(directory) = std::env::var_os("SEPTET_CEPH").map(PathBuf::from) {
        assert!(directory.join("env").exists(), "no cluster runs in {}, which SEPTET_CEPH names", directory.display());
        return directory;
    }
    let directory = shared::directory("ceph");
    start_once(&directory, "up", "env");
    directory
}

/// Runs `tests/ceph ACTION`, unless the file `mark` is in the cluster's directory. The action creates this file.
fn start_once(directory: &Path, action: &str, mark: &str) {
    shared::start_once(directory, mark, || script(action, directory, &[("LIFE_OF", &parent_id().to_string())]));
}

fn script(action: &str, directory: &Path, variables: &[(&str, &str)]) {
    let mut script = Command::new(workspace_dir().join("tests/ceph"));
    // A daemon that outlives this process must not hold one of its pipes.
    let log = directory.join("start.log");
    let output = File::create(&log).expect("a log in the cluster's directory");
    let errors = output.try_clone().expect("the log");
    script.arg(action).arg(directory).envs(variables.iter().copied());
    let status = script.stdin(Stdio::null()).stdout(output).stderr(errors).status().expect("tests/ceph");
    let said = fs::read_to_string(&log).unwrap_or_default();
    assert!(status.success(), "tests/ceph {action} failed; has tests/setup been run?\n{said}");
}

/// A change of an image.
#[derive(Debug, Clone)]
pub enum Change {
    /// Writes bytes at an offset.
    Write(u64, Vec<u8>),
    /// Discards a range.
    Discard(Range<u64>),
}

/// An image. It is removed when this value is dropped.
#[derive(Debug)]
pub struct Image<'a> {
    ceph: &'a Ceph,
    name: String,
}

impl Image<'_> {
    /// `pool/image`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The image's URL for septet: `rbd:pool/image`.
    pub fn url(&self) -> PathBuf {
        format!("rbd:{}", self.name).into()
    }

    /// Applies the changes to the image, in this order.
    pub fn change(&self, changes: &[Change]) {
        let mut stream = b"rbd diff v1\n".to_vec();
        let size: serde_json::Value = serde_json::from_str(&self.rbd(&["info", "--format", "json"])).expect("JSON");
        stream.push(b's');
        stream.extend(size["size"].as_u64().expect("a size").to_le_bytes());
        for change in changes {
            let (tag, offset, bytes, data) = match change {
                Change::Write(offset, data) => (b'w', *offset, data.len() as u64, &data[..]),
                Change::Discard(range) => (b'z', range.start, range.end - range.start, &[][..]),
            };
            stream.push(tag);
            stream.extend([offset.to_le_bytes(), bytes.to_le_bytes()].concat());
            stream.extend(data);
        }
        stream.push(b'e');
        self.import_diff(&stream);
    }

    /// Runs `rbd import-diff - IMAGE`.
    pub fn import_diff(&self, stream: &[u8]) {
        let mut import = self.ceph_rbd(&["import-diff", "-", &self.name]).stdin(Stdio::piped()).spawn().expect("rbd");
        import.stdin.take().expect("a pipe").write_all(stream).expect("writing to rbd import-diff");
        assert!(import.wait().expect("rbd").success(), "rbd import-diff failed");
    }

    /// The whole content of the image, or of a snapshot of it, read by `rbd export`.
    pub fn content(&self, snapshot: Option<&str>) -> Vec<u8> {
        let name = snapshot.map_or_else(|| self.name.clone(), |snapshot| format!("{}@{snapshot}", self.name));
        let output = self.ceph_rbd(&["export", &name, "-"]).output().expect("rbd");
        assert!(output.status.success(), "rbd export failed: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Runs `rbd WORD IMAGE ARGS` and returns its output.
    pub fn rbd(&self, args: &[&str]) -> String {
        self.ceph.rbd(&[&args[..1], &[&self.name], &args[1..]].concat())
    }

    /// Makes a snapshot.
    pub fn snapshot(&self, name: &str) {
        self.ceph.rbd(&["snap", "create", &format!("{}@{name}", self.name)]);
    }

    /// Removes all snapshots of the image.
    pub fn purge(&self) {
        self.ceph.rbd(&["snap", "purge", &self.name]);
    }

    /// The names of the image's snapshots.
    pub fn snapshots(&self) -> Vec<String> {
        let list = self.ceph.rbd(&["snap", "ls", &self.name, "--format", "json"]);
        let list: Vec<serde_json::Value> = serde_json::from_str(&list).expect("JSON");
        list.iter().map(|snapshot| snapshot["name"].as_str().expect("a name").to_owned()).collect()
    }

    /// How many bytes of the image are allocated.
    pub fn allocated_bytes(&self) -> u64 {
        let list = self.ceph.rbd(&["diff", &self.name, "--format", "json"]);
        let list: Vec<serde_json::Value> = serde_json::from_str(&list).expect("JSON");
        list.iter()
            .filter(|extent| extent["exists"] == "true")
            .map(|extent| extent["length"].as_u64().expect("bytes"))
            .sum()
    }

    fn ceph_rbd(&self, words: &[&str]) -> Command {
        let mut rbd = Command::new("rbd");
        rbd.arg("--conf").arg(self.ceph.conf()).args(words);
        rbd
    }
}

impl Drop for Image<'_> {
    fn drop(&mut self) {
        // The image may never have been created, or may be removed already.
        for words in [&["snap", "purge"][..], &["rm"]] {
            // A failed test may have left a lock, and rbd would wait for it.
            let _ = Command::new("timeout")
                .arg("60")
                .arg("rbd")
                .arg("--conf")
                .arg(self.ceph.conf())
                .args(words)
                .arg(&self.name)
                .output();
        }
    }
}
