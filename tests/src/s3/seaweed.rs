//! SeaweedFS, as one process that belongs to one test.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::{Server, from_venv};
use crate::Scratch;

/// Who may do what there. The second may only read.
const IDENTITIES: &str = r#"{"identities":[
  {"name":"owner","credentials":[{"accessKey":"owner-key","secretKey":"owner-secret"}],"actions":["Admin","Read","Write","List","Tagging"]},
  {"name":"guest","credentials":[{"accessKey":"guest-key","secretKey":"guest-secret"}],"actions":["Read","List"]}]}"#;
const START_LIMIT: Duration = Duration::from_secs(60);
/// SeaweedFS listens on the port of each service and on 10,000 more.
const GRPC: u16 = 10_000;

/// A SeaweedFS server of the test's own; dropped, it is gone, and all it holds.
#[derive(Debug)]
pub struct Seaweed {
    child: Child,
    server: Server,
    plain: Server,
    scratch: Scratch,
}

impl Seaweed {
    /// Starts one on free ports and waits until it answers.
    pub fn start() -> Self {
        Self::start_as(&[])
    }

    /// The same with a certificate: the server's address is one of https.
    pub fn start_with_tls(certificate: &Path, key: &Path) -> Self {
        let named = |name: &str, path: &Path| format!("-s3.{name}.file={}", path.display());
        Self::start_as(&[named("cert", certificate), named("key", key)])
    }

    fn start_as(tls: &[String]) -> Self {
        let scratch = Scratch::on_disk();
        // Another may take a port between the look and the start: then it's the next ones.
        let started = (0..5).find_map(|_| Self::try_start(&scratch, tls));
        let log = || fs::read_to_string(scratch.path("log")).unwrap_or_default();
        let (child, server, plain) = started.unwrap_or_else(|| panic!("SeaweedFS does not start: {}", log()));
        Self { child, server, plain, scratch }
    }

    /// Where it is, for one who may do everything.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The same by plain HTTP.
    pub fn plain(&self) -> &Server {
        &self.plain
    }

    /// The same server for one who may only read.
    pub fn read_only(&self) -> Server {
        let (access_key, secret_key) = ("guest-key".to_owned(), "guest-secret".to_owned());
        Server { access_key, secret_key, ..self.server.clone() }
    }

    /// Where it keeps its data, and its log.
    pub fn dir(&self) -> &Path {
        self.scratch.dir()
    }

    fn try_start(scratch: &Scratch, tls: &[String]) -> Option<(Child, Server, Server)> {
        let config = scratch.file("s3.json", IDENTITIES.as_bytes());
        fs::create_dir_all(scratch.path("data")).expect("a directory for SeaweedFS");
        let log = fs::File::create(scratch.path("log")).expect("a log for SeaweedFS");
        let port = free_ports();
        let mut child = from_venv("weed")
            .args([
                "server",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-filer",
                "-s3",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
            ])
            // Each bucket takes some volumes: with few, writes to new buckets fail.
            .args(["-volume.max=300", "-master.volumeSizeLimitMB=64", "-master.telemetry=false"])
            .arg(format!("-dir={}", scratch.path("data").display()))
            .arg(format!("-s3.config={}", config.display()))
            .args([format!("-master.port={}", port[0]), format!("-volume.port={}", port[1])])
            .args([format!("-filer.port={}", port[2]), format!("-s3.port={}", port[3])])
            .args(if tls.is_empty() { Vec::new() } else { [tls, &[format!("-s3.port.https={}", port[4])]].concat() })
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("starting SeaweedFS");
        let plain = Server {
            endpoint: format!("http://127.0.0.1:{}", port[3]),
            access_key: "owner-key".to_owned(),
            secret_key: "owner-secret".to_owned(),
        };
        let until = Instant::now() + START_LIMIT;
        while Instant::now() < until && child.try_wait().ok().flatten().is_none() {
            if is_ready(port[3], scratch) {
                let secured = Server { endpoint: format!("https://127.0.0.1:{}", port[4]), ..plain.clone() };
                return Some((child, if tls.is_empty() { plain.clone() } else { secured }, plain));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        end(&mut child);
        None
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// It answers, and its volumes have come.
fn is_ready(port: u16, scratch: &Scratch) -> bool {
    let log = fs::read_to_string(scratch.path("log")).unwrap_or_default();
    TcpStream::connect(("127.0.0.1", port)).is_ok() && log.contains("the cluster has 1 filer")
}

/// Ports that are free now, and so are those of their gRPC.
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
