//! The store in an S3 bucket, or in a prefix of one.
//!
//! Bodies are sent from shared memory, without a copy and without a SHA-256. A checksum in the header protects them if
//! the server really compares it ([`probe`]). Failed requests are retried within a time limit ([`server`]). A permanent
//! failure becomes one line that says what the user should do ([`fault`]).

mod abort;
mod body;
mod check;
mod client;
mod clock;
mod delete;
mod fault;
mod lanes;
mod list;
mod needs;
mod own;
mod probe;
mod read;
#[cfg(test)]
mod scripted;
mod server;
#[cfg(test)]
mod tests;
mod upload;
mod url;
mod whole;
mod write;

use crate::given_by::GivenBy;
use crate::{Counts, ObjectInfo, PartRules, Store, StoreError, StoreErrorKind, Upload};
use aws_sdk_s3::config::Credentials;
use bytes::Bytes;
pub(crate) use needs::needs;
use server::Server;
use std::sync::Arc;
use std::time::SystemTime;
use upload::S3Upload;
use url::Location;
use write::Over;

/// A multipart upload takes two requests besides its parts. With this limit, a backup takes one request for each part
/// and a constant number of others.
const OBJECTS_MAX: u64 = 32;

/// A bucket, or a prefix in one.
pub struct S3 {
    server: Arc<Server>,
}

impl S3 {
    /// Opens `s3://bucket/prefix`. Sends nothing before the store is used.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_from(url, GivenBy::User)
    }

    /// The same with the given keys instead of those in the environment.
    pub fn open_as(url: &str, access_key: &str, secret_key: &str) -> Result<Self, StoreError> {
        let keys = Credentials::new(access_key, secret_key, None, None, "given");
        Self::open_with(url, GivenBy::User, Some(keys))
    }

    pub(crate) fn open_from(url: &str, by: GivenBy) -> Result<Self, StoreError> {
        Self::open_with(url, by, None)
    }

    fn open_with(url: &str, by: GivenBy, credentials: Option<Credentials>) -> Result<Self, StoreError> {
        let location = Location::parse(url, by).map_err(|why| {
            let shown = url.split_once('?').map_or(url, |(place, _)| place);
            let shown = shown.rsplit_once('@').map_or(shown, |_| "s3://…");
            StoreError::explained(StoreErrorKind::Other, shown, "", "open", why)
        })?;
        Ok(Self { server: Arc::new(Server::new(location, credentials)?) })
    }
}

impl Store for S3 {
    fn url(&self) -> String {
        self.server.location.url.clone()
    }

    fn counts(&self) -> Counts {
        self.server.counter.counts()
    }

    fn get(&self, key: &str, bytes_max: u64) -> Result<Vec<u8>, StoreError> {
        read::get(&self.server, key, bytes_max)
    }

    fn read_at(&self, key: &str, offset_bytes: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        read::read_at(&self.server, key, offset_bytes, buf)
    }

    fn len(&self, key: &str) -> Result<u64, StoreError> {
        read::len(&self.server, key)
    }

    fn put(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        write::put(&self.server, key, &[body], Over::Any)
    }

    fn put_if_absent(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        write::put(&self.server, key, &[body], Over::Nothing)
    }

    fn upload(&self, key: &str) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(S3Upload::new(&self.server, key)?))
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        list::list(&self.server, prefix)
    }

    fn list_children(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        list::list_children(&self.server, prefix)
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        list::is_empty(&self.server)
    }

    fn now(&self) -> Result<Option<SystemTime>, StoreError> {
        clock::now(&self.server)
    }

    fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        delete::delete(&self.server, keys)
    }

    fn prepare_to_write(&self) {
        self.server.recall_check();
    }

    fn url_for_writers(&self) -> Result<String, StoreError> {
        let check = self.server.check()?;
        self.server.with_note(|| self.server.location.url_with(check))
    }

    fn note(&self) -> Result<Option<String>, StoreError> {
        self.server.note_on_check()
    }

    fn part_rules(&self) -> PartRules {
        let Location { part_bytes, .. } = self.server.location;
        let parts_in_flight = self.server.location.parts_in_flight();
        PartRules { part_bytes, parts_in_flight, read_bytes: part_bytes as u64, objects_max: Some(OBJECTS_MAX) }
    }

    fn abort_unfinished(&self, prefix: &str) -> Result<u64, StoreError> {
        abort::abort_unfinished(&self.server, prefix)
    }
}
