//! Writes a small object by one request.

use super::body;
use super::check::{Check, Sum};
use super::fault::Fault;
use super::read;
use super::server::Server;
use crate::{StoreError, StoreErrorKind};
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use bytes::Bytes;

/// Whether the write may replace an existing object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Any,
    Nothing,
}

/// Writes an object from pieces, with the check that the server supports.
pub(super) fn put(server: &Server, key: &str, pieces: &[Bytes], over: Over) -> Result<(), StoreError> {
    let name = server.name(key, "write")?;
    let sum = server.check()?.of(pieces);
    match server.with_note(|| put_as(server, &name, pieces, &sum, over))? {
        // An earlier attempt may have succeeded and its answer may have been lost. Then the object is ours.
        Err(fault)
            if fault.kind == StoreErrorKind::AlreadyExists && fault.attempts > 1 && is_ours(server, &name, pieces) => {}
        put => put.map_err(|fault| server.error(key, "write", fault))?,
    }
    server.counter.object();
    Ok(())
}

/// Writes an object under its name in the bucket. The given checksum may be wrong on purpose.
pub(super) fn put_as(server: &Server, name: &str, pieces: &[Bytes], sum: &Sum, over: Over) -> Result<(), Fault> {
    server.call(async |progress| {
        let request = server.client.put_object().bucket(&server.location.bucket).key(name);
        let request = guarded(request, sum).set_if_none_match((over == Over::Nothing).then(|| "*".to_owned()));
        let request = request.body(body::stream(pieces, &progress));
        let sent = request.customize().disable_payload_signing().send().await;
        sent.map(drop).map_err(|error| Fault::of(error, sum.is_probe))
    })
}

fn guarded(request: PutObjectFluentBuilder, sum: &Sum) -> PutObjectFluentBuilder {
    request
        .set_checksum_crc64_nvme(sum.header(Check::Crc64Nvme))
        .set_checksum_crc32_c(sum.header(Check::Crc32C))
        .set_checksum_crc32(sum.header(Check::Crc32))
        .set_content_md5(sum.header(Check::Md5))
}

fn is_ours(server: &Server, name: &str, pieces: &[Bytes]) -> bool {
    let found = read::get_named(server, name, body::total_bytes(pieces));
    found.is_ok_and(|found| found == pieces.concat())
}
