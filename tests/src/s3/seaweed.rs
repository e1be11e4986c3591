//! SeaweedFS in one process: a server that all tests of a run [share](crate::shared), or a test's own server with a
//! certificate.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::{CommandExt, parent_id};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{Bucket, Server, from_venv};
use crate::{Scratch, shared};

/// Two users: one may do everything, the other may only read.
const IDENTITIES: &str = r#"{"identities":[
  {"name":"owner","credentials":[{"accessKey":"owner-key","secretKey":"owner-secret"}],"actions":["Admin","Read","Write","List","Tagging"]},
  {"name":"guest","credentials":[{"accessKey":"guest-key","secretKey":"guest-secret"}],"actions":["Read","List"]}]}"#;
const START_LIMIT: Duration = Duration::from_secs(60);
/// SeaweedFS listens on the port of each service and on 10,000 more.
const GRPC: u16 = 10_000;
/// The shared server outlives the test that starts it. When process `$0` has ended, this script ends the server and
/// removes its directory `$1`. The other arguments are the server's command line.
const KEEPER: &str = r#"directory=$1; shift
"$@" & server=$!
while kill -0 "$0" && kill -0 $server; do sleep 0.5; done
kill -KILL $server
kill -0 "$0" || rm -rf "$directory""#;

/// A SeaweedFS server, and a bucket that belongs to the test. The bucket is removed when this value is dropped.
#[derive(Debug)]
pub struct Seaweed {
    server: Server,
    plain: Server,
    bucket: String,
    /// The test's own server, if it has one. It ends when this value is dropped.
    own: Option<(Child, Scratch)>,
}

impl Seaweed {
    /// The server that all tests of this run share.
    pub fn shared() -> Self {
        let directory = shared::directory("seaweed");
        shared::start_once(&directory, "endpoint", || {
            let (_, ports) = started(&directory, &[], |weed| {
                let mut keeper = Command::new("bash");
                keeper.args(["-c", KEEPER, &parent_id().to_string()]).arg(&directory);
                keeper.arg(weed.get_program()).args(weed.get_args());
                // So that neither the end of this test nor a signal to its process group ends the keeper.
                keeper.process_group(0);
                keeper
            });
            let unfinished = directory.join("endpoint.unfinished");
            fs::write(&unfinished, plain(ports[3]).endpoint).expect("the shared server's endpoint");
            fs::rename(unfinished, directory.join("endpoint")).expect("the shared server's endpoint");
        });
        let endpoint = fs::read_to_string(directory.join("endpoint")).expect("the shared server's endpoint");
        let server = Server { endpoint, ..plain(0) };
        Self { bucket: server.make_bucket(), plain: server.clone(), server, own: None }
    }

    /// Starts the test's own server, with a certificate.
    pub fn start_with_tls(certificate: &Path, key: &Path) -> Self {
        let named = |name: &str, path: &Path| format!("-s3.{name}.file={}", path.display());
        let scratch = Scratch::on_disk();
        let (child, ports) = started(scratch.dir(), &[named("cert", certificate), named("key", key)], |weed| weed);
        let plain = plain(ports[3]);
        let bucket = plain.make_bucket();
        let server = Server { endpoint: format!("https://127.0.0.1:{}", ports[4]), ..plain.clone() };
        Self { server, plain, bucket, own: Some((child, scratch)) }
    }

    /// The server, with the user who may do everything.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The same server by plain HTTP.
    pub fn plain(&self) -> &Server {
        &self.plain
    }

    /// The same server, with the user who may only read.
    pub fn read_only(&self) -> Server {
        let (access_key, secret_key) = ("guest-key".to_owned(), "guest-secret".to_owned());
        Server { access_key, secret_key, ..self.server.clone() }
    }

    /// The test's bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// A place in the test's bucket: `rest` is a prefix (`/PREFIX`), options (`?OPTIONS`), both or nothing.
    pub fn place(&self, rest: &str) -> String {
        format!("{}{rest}", self.bucket)
    }

    /// The repository at a [place](Self::place).
    pub fn repo(&self, rest: &str) -> Bucket {
        Bucket::at(&self.server, &self.place(rest))
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        match &mut self.own {
            Some((child, _)) => end(child),
            // Deletes the bucket, so that its disk space is freed now and not at the end of the run.
            None => drop(self.server.request("DELETE", &self.bucket).output()),
        }
    }
}

fn plain(port: u16) -> Server {
    let (access_key, secret_key) = ("owner-key".to_owned(), "owner-secret".to_owned());
    Server { endpoint: format!("http://127.0.0.1:{port}"), access_key, secret_key }
}

/// Starts a server on free ports, with its data in `directory`, and waits until it answers. `wrap` may run it through
/// another program.
fn started(directory: &Path, tls: &[String], wrap: impl Fn(Command) -> Command) -> (Child, [u16; 5]) {
    // Another process may take a port between the check and the start. Then other ports are tried.
    let started = (0..5).find_map(|_| try_start(directory, tls, &wrap));
    let log = || fs::read_to_string(directory.join("log")).unwrap_or_default();
    started.unwrap_or_else(|| panic!("SeaweedFS does not start: {}", log()))
}

fn try_start(directory: &Path, tls: &[String], wrap: impl Fn(Command) -> Command) -> Option<(Child, [u16; 5])> {
    let (data, config) = (directory.join("data"), directory.join("s3.json"));
    fs::create_dir_all(&data).expect("a directory for SeaweedFS");
    fs::write(&config, IDENTITIES).expect("SeaweedFS's users");
    let log = fs::File::create(directory.join("log")).expect("a log for SeaweedFS");
    let ports = free_ports();
    let mut weed = from_venv("weed");
    weed.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"])
        .args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"])
        // Each bucket needs several SeaweedFS volumes. With a low limit, writes to new buckets fail.
        .args(["-volume.max=1000", "-master.volumeSizeLimitMB=64"])
        .arg(format!("-dir={}", data.display()))
        .arg(format!("-s3.config={}", config.display()))
        .args([format!("-master.port={}", ports[0]), format!("-volume.port={}", ports[1])])
        .args([format!("-filer.port={}", ports[2]), format!("-s3.port={}", ports[3])])
        .args(if tls.is_empty() { Vec::new() } else { [tls, &[format!("-s3.port.https={}", ports[4])]].concat() });
    let mut child = wrap(weed)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .expect("starting SeaweedFS");
    let until = Instant::now() + START_LIMIT;
    while Instant::now() < until && child.try_wait().ok().flatten().is_none() {
        if is_ready(ports[3], directory) {
            return Some((child, ports));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    end(&mut child);
    None
}

fn end(child: &mut Child) {
    // A keeper has its own process group, which includes the server. A server without a keeper has no group of its own.
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let _ = group.map(|group| kill_process_group(group, Signal::KILL));
    let _ = child.kill();
    let _ = child.wait();
}

/// Whether the server answers and its cluster is complete.
fn is_ready(port: u16, directory: &Path) -> bool {
    let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
    TcpStream::connect(("127.0.0.1", port)).is_ok() && log.contains("the cluster has 1 filer")
}

/// Ports that are free now, together with their gRPC ports.
fn free_ports() -> [u16; 5] {
    let mut held = Vec::new();
    while held.len() < 5 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        if let Some(Ok(grpc)) = port.checked_add(GRPC).map(|port| TcpListener::bind(("127.0.0.1", port))) {
            held.push((port, listener, grpc));
        }
    }
    [held[0].0, held[1].0, held[2].0, held[3].0, held[4].0]
}
