//! S3 servers for tests. The server is a parameter of a test.
//!
//! A [`Server`] is an address and keys. Tests do not depend on its kind ([`Seaweed`], or a Ceph cluster).

mod bucket;
mod cases;
mod conformance;
mod proxy;
mod seaweed;

pub use bucket::Bucket;
pub use cases::round_trip;
pub use conformance::conformance;
pub use proxy::{Fault, Proxy, Request, Times};
pub use seaweed::Seaweed;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use septet_store::S3;

use crate::run::{Septet, septet};

/// A running server, with the keys of a user who may do everything.
#[derive(Debug, Clone)]
pub struct Server {
    /// `http://HOST:PORT`.
    pub endpoint: String,
    /// The access key.
    pub access_key: String,
    /// The secret key.
    pub secret_key: String,
}

impl Server {
    /// Makes a bucket with an unused name. Returns the name.
    pub fn make_bucket(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let bucket = format!("test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        self.curl("PUT", &bucket);
        bucket
    }

    /// Makes a plain request by curl. So the code under test does not sign it.
    pub fn curl(&self, method: &str, path: &str) -> String {
        let mut curl = self.request(method, path);
        let output = curl.output().expect("curl can't be started");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{method} {path}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    fn request(&self, method: &str, path: &str) -> Command {
        let url = format!("{}/{path}", self.endpoint);
        let user = format!("{}:{}", self.access_key, self.secret_key);
        // curl signs the hash of the empty body, but does not send it. radosgw needs it.
        let hash = "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let sign = ["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &user, "-H", hash];
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail-with-body", "-X", method, &url]).args(sign);
        curl
    }

    /// The store at `place` (a bucket, a prefix, options).
    pub fn store(&self, place: &str) -> S3 {
        S3::open_as(&self.url(place), &self.access_key, &self.secret_key).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The URL of a place, including the endpoint.
    pub fn url(&self, place: &str) -> String {
        let sign = if place.contains('?') { '&' } else { '?' };
        format!("s3://{place}{sign}endpoint={}", self.endpoint)
    }

    /// A command of `septet` with this server's keys and endpoint in its environment.
    pub fn septet(&self, words: &[&str]) -> Septet {
        self.environment().into_iter().fold(septet(words), |septet, (name, value)| septet.env(name, value))
    }

    /// The environment variables for this server.
    pub fn environment(&self) -> [(&'static str, String); 6] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_ACCESS_KEY_ID", self.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.secret_key.clone()),
            ("AWS_REGION", "us-east-1".to_owned()),
            // The user's settings must not influence a test.
            ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
        ]
    }
}

/// A program of the Python environment that `tests/setup` makes.
fn from_venv(name: &str) -> Command {
    let path = crate::target_dir().join("venv/bin").join(name);
    assert!(Path::exists(&path), "{} is missing: run tests/setup", path.display());
    Command::new(path)
}
