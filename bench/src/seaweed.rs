//! One S3 server for all tools that are measured on S3: SeaweedFS, which `tests/setup` installs.
//!
//! The tests have their own module with certificates and rights. It would bring the S3 SDK into this build.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::{binary, process, workspace};

pub(crate) const ACCESS_KEY: &str = "bench-key";
pub(crate) const SECRET_KEY: &str = "bench-secret";
const IDENTITY: &str = r#"{"identities":[{"name":"bench","credentials":[{"accessKey":"bench-key","secretKey":"bench-secret"}],
  "actions":["Admin","Read","Write","List","Tagging"]}]}"#;
const START_LIMIT: Duration = Duration::from_secs(60);
/// Each service also listens on its port plus 10,000.
const GRPC: u16 = 10_000;

/// The server. When it is dropped, it stops and its data are removed.
pub(crate) struct Seaweed {
    pub(crate) endpoint: String,
    metrics: String,
    child: Child,
    dir: PathBuf,
}

impl Seaweed {
    /// The path of its program, if it is installed.
    pub(crate) fn program() -> PathBuf {
        binary::target_dir().join("venv/bin/weed")
    }

    /// Starts a server with its data in `dir`, and waits until it accepts objects.
    ///
    /// # Errors
    /// The server does not start. Its log has the reason.
    pub(crate) fn start(dir: &Path) -> anyhow::Result<Self> {
        workspace::remove(dir)?;
        std::fs::create_dir_all(dir.join("data"))?;
        std::fs::write(dir.join("s3.json"), IDENTITY)?;
        let [s3, metrics, master, volume, filer] = free_ports()?;
        let log = File::create(dir.join("log"))?;
        let child = Command::new(Self::program())
            .args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-metricsIp=127.0.0.1", "-filer", "-s3"])
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=300", "-master.volumeSizeLimitMB=1024"])
            .args(["-master.telemetry=false", &format!("-s3.port={s3}"), &format!("-metricsPort={metrics}")])
            .args([format!("-master.port={master}"), format!("-volume.port={volume}"), format!("-filer.port={filer}")])
            .arg(format!("-dir={}", dir.join("data").display()))
            .arg(format!("-s3.config={}", dir.join("s3.json").display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("SeaweedFS can't be started")?;
        let address = |port| format!("http://127.0.0.1:{port}");
        let mut server = Self { endpoint: address(s3), metrics: address(metrics), child, dir: dir.to_owned() };
        server.wait(s3)?;
        Ok(server)
    }

    fn wait(&mut self, port: u16) -> anyhow::Result<()> {
        let until = Instant::now() + START_LIMIT;
        while Instant::now() < until && self.child.try_wait()?.is_none() {
            let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            if TcpStream::connect(("127.0.0.1", port)).is_ok() && log.contains("the cluster has 1 filer") {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        bail!("SeaweedFS does not start: {}", log.lines().last().unwrap_or_default())
    }

    /// Creates a bucket.
    ///
    /// # Errors
    /// The server refuses.
    pub(crate) fn make_bucket(&self, name: &str) -> anyhow::Result<()> {
        self.ask(&["-X", "PUT", &format!("{}/{name}", self.endpoint)]).map(drop)
    }

    /// The total length of a bucket's objects.
    ///
    /// # Errors
    /// The server refuses.
    pub(crate) fn stored_bytes(&self, bucket: &str) -> anyhow::Result<u64> {
        let (mut bytes, mut after) = (0, String::new());
        loop {
            let listing = self.ask(&[&format!("{}/{bucket}?list-type=2&start-after={after}", self.endpoint)])?;
            bytes += fields(&listing, "Size").filter_map(|size| size.parse::<u64>().ok()).sum::<u64>();
            match fields(&listing, "Key").last() {
                Some(last) if listing.contains("<IsTruncated>true") => after = last.replace('/', "%2F"),
                _ => return Ok(bytes),
            }
        }
    }

    /// The number of S3 requests that it has received.
    ///
    /// # Errors
    /// The server does not report it.
    pub(crate) fn requests(&self) -> anyhow::Result<u64> {
        let metrics = self.ask(&[&format!("{}/metrics", self.metrics)])?;
        let counts = metrics.lines().filter(|line| line.starts_with("SeaweedFS_s3_request_total{"));
        Ok(counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    }

    fn ask(&self, words: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new("curl");
        command.args(["-sS", "--fail", "--aws-sigv4", "aws:amz:us-east-1:s3"]);
        command.arg("--user").arg(format!("{ACCESS_KEY}:{SECRET_KEY}")).args(words);
        Ok(process::run(&mut command, false)?.stdout)
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The contents of the elements of this name.
fn fields<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    let parts: Vec<&str> = xml.split(&begin).skip(1).filter_map(|rest| rest.split(&end).next()).collect();
    parts.into_iter()
}

/// Ports that are free now, like the gRPC ports above them.
fn free_ports() -> anyhow::Result<[u16; 5]> {
    let mut held = Vec::new();
    while held.len() < 5 {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        if let Some(Ok(grpc)) = port.checked_add(GRPC).map(|port| TcpListener::bind(("127.0.0.1", port))) {
            held.push((port, listener, grpc));
        }
    }
    Ok(std::array::from_fn(|at| held[at].0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_taken_apart() {
        let xml =
            "<R><Contents><Key>a</Key><Size>1</Size></Contents><Contents><Key>b</Key><Size>20</Size></Contents></R>";
        assert_eq!(fields(xml, "Size").collect::<Vec<_>>(), ["1", "20"]);
        assert_eq!(fields(xml, "Key").last(), Some("b"));
    }
}
