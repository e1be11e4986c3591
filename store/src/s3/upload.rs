//! Uploads a large object in parts, in any order. An object that turns out to be small is written by one request.
//!
//! S3 requires at least 5 MiB for each part except the last. So a smaller first part must be the only one. It is held
//! back until [`Upload::finish`], which then sends one request instead of three.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;

use super::abort;
use super::body;
use super::check::{Check, Sum};
use super::fault::{Fault, Retry};
use super::server::Server;
use super::whole::Whole;
use super::write::{self, Over};
use crate::{StoreError, StoreErrorKind, Upload};

/// The least length of every part except the last.
const PART_BYTES_MIN: u64 = 5 << 20;

pub(super) struct S3Upload {
    server: Arc<Server>,
    key: String,
    name: String,
    check: Check,
    /// The upload's id, once the server has begun it.
    id: Mutex<Option<Begun>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    parts: BTreeMap<u32, Part>,
    closed: bool,
}

struct Part {
    offset_bytes: u64,
    bytes: u64,
    stored: Stored,
}

enum Stored {
    Waits(Vec<Bytes>),
    There { etag: String, sum: Sum },
}

impl S3Upload {
    pub(super) fn new(server: &Arc<Server>, key: &str) -> Result<Self, StoreError> {
        let name = server.name(key, "write")?;
        let check = server.check()?;
        server.with_note(|| ())?;
        Ok(Self {
            name,
            check,
            server: Arc::clone(server),
            key: key.to_owned(),
            id: Mutex::default(),
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, fault: Fault) -> StoreError {
        self.server.error(&self.key, "write", fault)
    }

    fn refuse(&self, why: &str) -> StoreError {
        self.error(Fault::new(StoreErrorKind::Other, Retry::Never, why))
    }

    /// The upload's id. The first caller begins the upload.
    fn id(&self) -> Result<String, Fault> {
        let mut id = self.id.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(begun) = &*id {
            return Ok(begun.id.clone());
        }
        let begun = begin(&self.server, &self.name, self.check)?;
        Ok(id.insert(begun).id.clone())
    }

    fn send(&self, number: u32, body: &[Bytes]) -> Result<Stored, Fault> {
        let id = self.id()?;
        let sum = self.check.of(body);
        let etag = send_part(&self.server, &self.name, &id, number, body, &sum)?;
        Ok(Stored::There { etag, sum })
    }

    /// Checks that the parts have no gap and no overlap. Returns the total length.
    fn length(&self, state: &State) -> Result<u64, StoreError> {
        state.parts.values().try_fold(0, |end, part| match part.offset_bytes {
            start if start == end => Ok(end + part.bytes),
            start => Err(self.refuse(&format!("a part starts at {start}, but the one before it ends at {end}"))),
        })
    }

    fn complete(&self, parts: Vec<CompletedPart>, bytes: u64) -> Result<(), Fault> {
        let id = self.id()?;
        let count = parts.len();
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let done = self.server.call(async |_| {
            let request = self.server.client.complete_multipart_upload().bucket(&self.server.location.bucket);
            let request = request.key(&self.name).upload_id(&id).multipart_upload(parts.clone());
            Ok(request.customize().interceptor(Whole).send().await.map(drop)?)
        });
        match done {
            // An earlier attempt may have succeeded and its answer may have been lost.
            Err(fault) if fault.attempts > 1 && fault.code == "NoSuchUpload" && self.is_there(count, bytes) => Ok(()),
            done => done,
        }
    }

    /// Aborts further uploads of this name that the server began if the answer to an earlier attempt was lost.
    fn abort_twins(&self) {
        let id = self.id.lock().unwrap_or_else(PoisonError::into_inner);
        if id.as_ref().is_some_and(|begun| begun.repeated) {
            // What can't be aborted now is found by `abort_unfinished`.
            let _ = abort::abort_all(&self.server, &self.name);
        }
    }

    /// Whether the object is the one that this upload would create.
    fn is_there(&self, parts: usize, bytes: u64) -> bool {
        let head = self.server.call(async |_| {
            let request = self.server.client.head_object().bucket(&self.server.location.bucket);
            Ok(request.key(&self.name).send().await?)
        });
        head.is_ok_and(|head| {
            let etag = head.e_tag().unwrap_or_default().trim_matches('"');
            head.content_length().and_then(|length| u64::try_from(length).ok()) == Some(bytes)
                && etag.rsplit_once('-').is_none_or(|(_, count)| count == parts.to_string())
        })
    }
}

impl Upload for S3Upload {
    fn put_part(&self, number: u32, offset_bytes: u64, body: Vec<Bytes>) -> Result<(), StoreError> {
        if self.state().closed {
            return Err(self.refuse("the upload has already ended"));
        }
        let bytes = body::total_bytes(&body);
        let is_only = number == 0 && bytes < PART_BYTES_MIN && self.state().parts.range(1..).next().is_none();
        let stored = if is_only || bytes == 0 {
            Stored::Waits(body)
        } else {
            self.send(number, &body).map_err(|fault| self.error(fault))?
        };
        self.state().parts.insert(number, Part { offset_bytes, bytes, stored });
        Ok(())
    }

    fn finish(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.closed {
            return Err(self.refuse("the upload has already ended"));
        }
        let bytes = self.length(&state)?;
        let mut whole = Vec::new();
        let mut there = Vec::new();
        let count_parts = state.parts.len();
        for (&number, part) in &mut state.parts {
            match &part.stored {
                Stored::Waits(body) if count_parts == 1 => whole.clone_from(body),
                Stored::Waits(_) if part.bytes == 0 => continue,
                Stored::Waits(body) => part.stored = self.send(number, body).map_err(|fault| self.error(fault))?,
                Stored::There { .. } => {}
            }
            if let Stored::There { etag, sum } = &part.stored {
                there.push(completed(number, etag, sum));
            }
        }
        if there.is_empty() {
            write::put(&self.server, &self.key, &whole, Over::Any)?;
        } else {
            self.complete(there, bytes).map_err(|fault| self.error(fault))?;
            self.abort_twins();
            self.server.counter.object();
        }
        *state = State { closed: true, ..State::default() };
        Ok(())
    }

    fn abort(&self) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        *state = State { closed: true, ..State::default() };
        let id = self.id.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(begun) = &*id {
            // What can't be aborted now is found by `abort_unfinished`.
            let _ = abort::abort_once(&self.server, &self.name, &begun.id);
        }
    }
}

impl Drop for S3Upload {
    fn drop(&mut self) {
        self.abort();
    }
}

/// An upload that the server has begun.
pub(super) struct Begun {
    pub(super) id: String,
    /// Whether it took more than one attempt. Then the server may have begun another one, too.
    pub(super) repeated: bool,
}

/// Begins an upload whose parts are protected by `check`.
pub(super) fn begin(server: &Server, name: &str, check: Check) -> Result<Begun, Fault> {
    let algorithm = match check {
        Check::Crc64Nvme => Some(ChecksumAlgorithm::Crc64Nvme),
        Check::Crc32C => Some(ChecksumAlgorithm::Crc32C),
        Check::Crc32 => Some(ChecksumAlgorithm::Crc32),
        Check::Md5 | Check::None => None,
    };
    let kind = (check == Check::Crc64Nvme).then_some(ChecksumType::FullObject);
    let mut attempts = 0;
    let id = server.call(async |_| {
        attempts += 1;
        let request = server.client.create_multipart_upload().bucket(&server.location.bucket).key(name);
        let request = request.set_checksum_algorithm(algorithm.clone()).set_checksum_type(kind.clone());
        let id = request.send().await?.upload_id().map(str::to_owned);
        id.ok_or_else(|| Fault::transient("the server began an upload without an id"))
    })?;
    Ok(Begun { id, repeated: attempts > 1 })
}

/// Sends a part and returns its ETag.
pub(super) fn send_part(
    server: &Server,
    name: &str,
    id: &str,
    number: u32,
    body: &[Bytes],
    sum: &Sum,
) -> Result<String, Fault> {
    let number = part_number(number)?;
    server.call(async |progress| {
        let request = server.client.upload_part().bucket(&server.location.bucket).key(name).upload_id(id);
        let request = request
            .part_number(number)
            .set_checksum_crc64_nvme(sum.header(Check::Crc64Nvme))
            .set_checksum_crc32_c(sum.header(Check::Crc32C))
            .set_checksum_crc32(sum.header(Check::Crc32))
            .set_content_md5(sum.header(Check::Md5))
            .body(body::stream(body, &progress));
        let sent = request.customize().disable_payload_signing().send().await;
        let etag = sent.map_err(|error| Fault::of(error, sum.is_probe))?.e_tag().map(str::to_owned);
        etag.ok_or_else(|| Fault::transient("the server took a part without an ETag"))
    })
}

/// S3 numbers parts from 1 to 10,000.
fn part_number(number: u32) -> Result<i32, Fault> {
    let fits = |number: &i32| *number <= 10_000;
    number.checked_add(1).and_then(|number| i32::try_from(number).ok()).filter(fits).ok_or_else(|| {
        Fault::new(
            StoreErrorKind::Other,
            Retry::Never,
            "an object can have at most 10,000 parts: use a larger part-size",
        )
    })
}

fn completed(number: u32, etag: &str, sum: &Sum) -> CompletedPart {
    CompletedPart::builder()
        .set_part_number(part_number(number).ok())
        .e_tag(etag)
        .set_checksum_crc64_nvme(sum.header(Check::Crc64Nvme))
        .set_checksum_crc32_c(sum.header(Check::Crc32C))
        .set_checksum_crc32(sum.header(Check::Crc32))
        .build()
}
