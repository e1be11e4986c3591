//! A repository in a bucket, used through the real binary.

use std::path::Path;

use septet_store::Store;
use serde_json::Value;

use super::Server;
use crate::run::{Outcome, Septet};
use crate::{Scratch, assert_bytes, is_tombstone};

/// A repository in a bucket, reached through one server (or a proxy in front of it).
#[derive(Debug, Clone)]
pub struct Bucket {
    server: Server,
    /// Bucket, prefix and options: the part of the URL after `s3://`.
    place: String,
}

impl Bucket {
    /// The repository at `place`.
    pub fn at(server: &Server, place: &str) -> Self {
        Self { server: server.clone(), place: place.to_owned() }
    }

    /// The same repository through another address.
    pub fn through(&self, server: &Server) -> Self {
        Self::at(server, &self.place)
    }

    /// The same repository with one more option. The place must have options already.
    pub fn with_option(&self, option: &str) -> Self {
        Self::at(&self.server, &format!("{}&{option}", self.place))
    }

    /// A command on this repository: the given words, then `--repo`.
    pub fn septet(&self, words: &[&str]) -> Septet {
        self.server.septet(words).arg("--repo").arg(format!("s3://{}", self.place))
    }

    /// The command `septet backup` of `source` as backup `id` of the volume `vol`, with more `args`, not run yet.
    pub fn backup_command(&self, id: &str, source: &Path, args: &[&str]) -> Septet {
        let common = ["backup", "--json", "--volume", "vol", "--id", id];
        self.septet(&common).args(args).arg(source)
    }

    /// Runs the same command. Must succeed. Returns its summary.
    pub fn backup(&self, id: &str, source: &Path, args: &[&str]) -> Value {
        self.backup_command(id, source, args).ok().summary()
    }

    /// Asserts that backup `id` restores to exactly `expected`. Returns the summary.
    pub fn assert_restores(&self, id: &str, expected: &[u8]) -> Value {
        let scratch = Scratch::in_memory();
        let target = scratch.path("restored");
        let outcome = self.septet(&["restore", "--json", &format!("vol/{id}")]).arg(&target).ok();
        assert_bytes(&target, expected);
        outcome.summary()
    }

    /// The ids of the backups that are listed.
    pub fn listed(&self) -> Vec<String> {
        let events = self.septet(&["list", "--json"]).ok().events();
        events.iter().map(|line| line["backup"].as_str().expect("an id").to_owned()).collect()
    }

    /// Deletes a backup. Must succeed.
    pub fn delete(&self, id: &str) -> Outcome {
        self.septet(&["delete", "--json", &format!("vol/{id}")]).ok()
    }

    /// The store itself.
    pub fn store(&self) -> impl Store + use<> {
        self.server.store(&self.place)
    }

    /// The keys of all objects except tombstones.
    pub fn objects(&self) -> Vec<String> {
        let store = self.store();
        let objects = store.list("").unwrap_or_else(|error| panic!("{error}"));
        let keys = objects.into_iter().map(|object| object.key);
        // An object may have been removed meanwhile.
        keys.filter(|key| !is_tombstone(key, || store.get(key, 1 << 30).unwrap_or_default())).collect()
    }

    /// Aborts unfinished uploads and returns their number.
    pub fn unfinished(&self) -> u64 {
        self.store().abort_unfinished("").unwrap_or_else(|error| panic!("{error}"))
    }
}
