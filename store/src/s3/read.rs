//! Reads objects: small ones whole, large ones by range. If a connection breaks, a retry reads only the rest.

use super::body::Progress;
use super::fault::{Fault, Retry, root_cause};
use super::server::Server;
use crate::{StoreError, StoreErrorKind};
use aws_sdk_s3::operation::get_object::GetObjectOutput;

/// A whole object of at most `bytes_max`.
pub(super) fn get(server: &Server, key: &str, bytes_max: u64) -> Result<Vec<u8>, StoreError> {
    let name = server.name(key, "read")?;
    get_named(server, &name, bytes_max).map_err(|fault| server.error(key, "read", fault))
}

/// The same for a name in the bucket. A longer object is `Damaged`.
pub(super) fn get_named(server: &Server, name: &str, bytes_max: u64) -> Result<Vec<u8>, Fault> {
    server.call(async |progress| {
        let output = server.client.get_object().bucket(&server.location.bucket).key(name).send().await?;
        whole(output, bytes_max, &progress).await
    })
}

async fn whole(mut output: GetObjectOutput, bytes_max: u64, progress: &Progress) -> Result<Vec<u8>, Fault> {
    let too_long = |bytes: u64| Fault::damaged(format!("it has {bytes} bytes; at most {bytes_max} are allowed"));
    let expected = output.content_length().and_then(|bytes| u64::try_from(bytes).ok());
    if let Some(bytes) = expected.filter(|&bytes| bytes > bytes_max) {
        return Err(too_long(bytes));
    }
    let mut body = Vec::with_capacity(usize::try_from(expected.unwrap_or(0)).unwrap_or(0));
    while let Some(chunk) = output.body.try_next().await.map_err(|error| Fault::transient(root_cause(&error)))? {
        progress.step();
        body.extend_from_slice(&chunk);
        if body.len() as u64 > bytes_max {
            return Err(too_long(body.len() as u64));
        }
    }
    match expected {
        Some(bytes) if bytes != body.len() as u64 => {
            Err(Fault::transient(format!("the answer has {} of {bytes} bytes", body.len())))
        }
        _ => Ok(body),
    }
}

/// Fills `buf`. Returns `Damaged` if the object ends too early.
pub(super) fn read_at(server: &Server, key: &str, offset_bytes: u64, buf: &mut [u8]) -> Result<(), StoreError> {
    let name = server.name(key, "read")?;
    if buf.is_empty() {
        return Ok(());
    }
    let failed = |fault| server.error(key, "read", fault);
    let too_far = || failed(Fault::damaged(format!("it ends before offset {offset_bytes}")));
    let end_bytes = offset_bytes.checked_add(buf.len() as u64).ok_or_else(too_far)?;
    let mut filled = 0;
    let read = server.call(async |progress| {
        let start = offset_bytes + filled as u64;
        let request = server.client.get_object().bucket(&server.location.bucket).key(&name);
        let output = request.range(format!("bytes={start}-{}", end_bytes - 1)).send().await?;
        check_range(&output, start, end_bytes)?;
        fill(output, buf, &mut filled, &progress).await
    });
    read.map_err(failed)
}

/// Whether the answer holds the range that was requested.
fn check_range(output: &GetObjectOutput, start: u64, end_bytes: u64) -> Result<(), Fault> {
    let Some((first, total)) = output.content_range().and_then(parse_range) else {
        let text = "the server ignores range requests: use another server, or a proxy that supports them";
        return Err(Fault::new(StoreErrorKind::Other, Retry::Never, text));
    };
    if let Some(total) = total.filter(|&total| total < end_bytes) {
        return Err(Fault::damaged(format!("it ends at {total} and not at {end_bytes} or later")));
    }
    if first == start { Ok(()) } else { Err(Fault::transient("the server sent another range than requested")) }
}

/// Parses `bytes 5-9/100` into the start of the range and the object's length.
fn parse_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

/// Reads the answer as it arrives, so that a retry requests only the rest.
async fn fill(
    mut output: GetObjectOutput,
    buf: &mut [u8],
    filled: &mut usize,
    progress: &Progress,
) -> Result<(), Fault> {
    while *filled < buf.len() {
        let next = output.body.try_next().await.map_err(|error| Fault::transient(root_cause(&error)))?;
        let Some(chunk) = next else { return Err(Fault::transient("the response is truncated")) };
        progress.step();
        let room = &mut buf[*filled..];
        let bytes = chunk.len().min(room.len());
        room[..bytes].copy_from_slice(&chunk[..bytes]);
        *filled += bytes;
    }
    Ok(())
}

/// An object's length.
pub(super) fn len(server: &Server, key: &str) -> Result<u64, StoreError> {
    let name = server.name(key, "read")?;
    let length = server.call(async |_| {
        let head = server.client.head_object().bucket(&server.location.bucket).key(&name).send().await;
        Ok(head?.content_length().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0))
    });
    match length {
        // The answer to a HEAD request has no body that explains the error.
        Err(fault) if fault.status >= 300 && fault.status != 404 && fault.code.is_empty() => len_by_get(server, &name),
        length => length,
    }
    .map_err(|fault| server.error(key, "read", fault))
}

/// The object's length, from the headers of a GET request. The body is not read.
fn len_by_get(server: &Server, name: &str) -> Result<u64, Fault> {
    server.call(async |_| {
        let output = server.client.get_object().bucket(&server.location.bucket).key(name).send().await?;
        let length = output.content_length().and_then(|bytes| u64::try_from(bytes).ok());
        length.ok_or_else(|| Fault::transient("the answer does not say how long the object is"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_nonsense_is_not() {
        assert_eq!(parse_range("bytes 5-9/100"), Some((5, Some(100))));
        assert_eq!(parse_range("bytes 5-9/*"), Some((5, None)));
        for text in ["", "bytes", "bytes */5", "5-9/100", "bytes x-9/100", "bytes 5/100"] {
            assert_eq!(parse_range(text), None, "{text}");
        }
    }
}
