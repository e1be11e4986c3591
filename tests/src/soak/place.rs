//! A repository for the soak test: a directory on a file system that can become full, or a bucket behind a proxy that
//! injects faults.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use septet_store::{Access, Directory, Store};

use crate::content::Rng;
use crate::run::{Septet, septet};
use crate::s3::{Bucket, Fault, Proxy, Times};
use crate::{Mount, Scratch, is_tombstone};

const MOUNT_BYTES: u64 = 512 << 20;
/// The faults to inject, once or permanently.
const FAULTS: [Fault; 7] = [
    Fault::Answer(500, "InternalError"),
    Fault::Answer(503, "SlowDown"),
    Fault::ResetRequest,
    Fault::LoseAnswer,
    Fault::ResetAnswer,
    Fault::CutAnswer,
    Fault::FlipRequest,
];

pub(super) enum Place {
    Directory { mount: Mount },
    Bucket { proxy: Proxy, repo: Bucket },
}

/// A store that fails until this value is dropped.
pub(super) enum Failing<'place> {
    Full { ballast: PathBuf },
    Faulty { proxy: &'place Proxy },
}

impl Place {
    pub(super) fn directory(at: PathBuf) -> Self {
        Self::Directory { mount: Mount::tmpfs(MOUNT_BYTES, &at) }
    }

    pub(super) fn bucket(proxy: Proxy, place: &str) -> Self {
        let repo = Bucket::at(proxy.server(), place);
        Self::Bucket { proxy, repo }
    }

    pub(super) fn url(&self) -> String {
        self.store().url()
    }

    /// A command on the repository.
    pub(super) fn septet(&self, words: &[&str]) -> Septet {
        match self {
            Self::Directory { mount } => septet(words).arg("--repo").arg(mount.path("repo")),
            Self::Bucket { repo, .. } => repo.septet(words),
        }
    }

    /// The same, with a time limit of two seconds for a server.
    pub(super) fn impatient_septet(&self, words: &[&str]) -> Septet {
        match self {
            Self::Directory { .. } => self.septet(words),
            Self::Bucket { repo, .. } => repo.with_option("time-limit=2").septet(words),
        }
    }

    /// The volumes and ids of all backups. Empty if there is no repository yet.
    pub(super) fn listed(&self) -> Vec<(String, String)> {
        if self.objects().is_empty() {
            return Vec::new();
        }
        let text = |line: &serde_json::Value, key: &str| line[key].as_str().expect("a name").to_owned();
        let events = self.septet(&["list", "--json"]).ok().events();
        events.iter().map(|line| (text(line, "volume"), text(line, "backup"))).collect()
    }

    /// The store itself.
    pub(super) fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Directory { mount } => {
                Arc::new(Directory::open(&mount.path("repo"), Access::Create).expect("a directory"))
            }
            Self::Bucket { repo, .. } => Arc::new(repo.store()),
        }
    }

    /// The keys of all objects except tombstones.
    pub(super) fn objects(&self) -> Vec<String> {
        let store = self.store();
        let objects = store.list("").unwrap_or_else(|error| panic!("{error}"));
        let keys = objects.into_iter().map(|object| object.key);
        // An object may have been removed meanwhile.
        keys.filter(|key| !is_tombstone(key, || store.get(key, 1 << 30).unwrap_or_default())).collect()
    }

    /// Makes the store fail at a random moment, once or permanently.
    pub(super) fn fail(&self, rng: &mut Rng) -> Failing<'_> {
        match self {
            Self::Directory { mount } => {
                let free = free_bytes(&mount.path(""));
                let ballast = mount.path("ballast");
                fill(&ballast, free.saturating_sub(rng.next_u64() % (4 << 20)));
                Failing::Full { ballast }
            }
            Self::Bucket { proxy, .. } => {
                // Permanent faults are rare, because each one takes a request's whole time limit.
                let times = if rng.below(8) == 0 { Times::FromThenOn } else { Times::Once };
                proxy.inject(*rng.choose(&FAULTS), times, rng.next_u64() % 30, |_| true);
                Failing::Faulty { proxy }
            }
        }
    }
}

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        match self {
            Self::Full { ballast } => std::fs::remove_file(ballast).expect("the ballast"),
            Self::Faulty { proxy } => drop(proxy.behave()),
        }
    }
}

fn free_bytes(path: &Path) -> u64 {
    let stat = rustix::fs::statvfs(path).expect("a file system");
    stat.f_bavail * stat.f_frsize
}

fn fill(path: &Path, bytes: u64) {
    let file = std::fs::File::create(path).expect("the ballast");
    if bytes > 0 {
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes).expect("room for the ballast");
    }
}

/// The target of restores.
pub(super) fn target(scratch: &Scratch) -> PathBuf {
    scratch.path("target")
}
