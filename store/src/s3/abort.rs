//! Aborts unfinished uploads.

use super::fault::Fault;
use super::server::Server;
use crate::{StoreError, StoreErrorKind};

/// If a server still lists uploads after this many rounds, new ones appear as fast as the old ones are aborted.
const ABORT_ROUNDS_MAX: usize = 5;

/// Aborts the uploads under a prefix and returns their number.
pub(super) fn abort_unfinished(server: &Server, prefix: &str) -> Result<u64, StoreError> {
    let full = server.prefix(prefix, "abort the uploads of")?;
    abort_all(server, &full).map_err(|fault| server.error(prefix, "abort the uploads of", fault))
}

/// The same for names in the bucket that begin with `full`.
pub(super) fn abort_all(server: &Server, full: &str) -> Result<u64, Fault> {
    abort_all_but(server, full, "")
}

/// The same, except for uploads of the name `spared`.
pub(super) fn abort_all_but(server: &Server, full: &str, spared: &str) -> Result<u64, Fault> {
    let mut aborted = 0;
    for _ in 0..ABORT_ROUNDS_MAX {
        let mut uploads = unfinished(server, full)?;
        uploads.retain(|(name, _)| name != spared);
        if uploads.is_empty() {
            break;
        }
        for (name, id) in &uploads {
            match abort(server, name, id) {
                Ok(()) => aborted += 1,
                Err(fault) if fault.code == "NoSuchUpload" || fault.kind == StoreErrorKind::NotFound => {}
                Err(fault) => return Err(fault),
            }
        }
    }
    Ok(aborted)
}

/// The names and ids of the uploads under a prefix.
fn unfinished(server: &Server, full: &str) -> Result<Vec<(String, String)>, Fault> {
    let mut uploads = Vec::new();
    let mut markers = (None, None);
    loop {
        let (key, id) = markers.clone();
        let page = server.call(async |_| {
            let request = server.client.list_multipart_uploads().bucket(&server.location.bucket).prefix(full);
            Ok(request.set_key_marker(key.clone()).set_upload_id_marker(id.clone()).send().await?)
        })?;
        let found = page.uploads().iter().filter_map(|upload| Some((upload.key()?, upload.upload_id()?)));
        // Some servers treat the prefix as a hint and list other uploads too.
        uploads.extend(found.filter(|(key, _)| key.starts_with(full)).map(|(key, id)| (key.to_owned(), id.to_owned())));
        let next = (page.next_key_marker().map(str::to_owned), page.next_upload_id_marker().map(str::to_owned));
        if !page.is_truncated().unwrap_or(false) || next == markers {
            return Ok(uploads);
        }
        markers = next;
    }
}

pub(super) fn abort(server: &Server, name: &str, id: &str) -> Result<(), Fault> {
    server.call(async |_| send_abort(server, name, id).await)
}

/// The same without retries.
pub(super) fn abort_once(server: &Server, name: &str, id: &str) -> Result<(), Fault> {
    server.call_once(async |_| send_abort(server, name, id).await)
}

async fn send_abort(server: &Server, name: &str, id: &str) -> Result<(), Fault> {
    let request = server.client.abort_multipart_upload().bucket(&server.location.bucket);
    Ok(request.key(name).upload_id(id).send().await.map(drop)?)
}
