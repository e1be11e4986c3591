//! Aborts unfinished uploads.

use std::collections::BTreeSet;

use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;

use super::fault::{Failed, Fault, one_line};
use super::server::Server;
use super::whole::Whole;
use crate::StoreError;

/// If a server still lists uploads after this many rounds, new ones appear as fast as the old ones are aborted.
const ABORT_ROUNDS_MAX: usize = 5;

/// Aborts the uploads under a prefix and returns their number.
pub(super) fn abort_unfinished(server: &Server, prefix: &str) -> Result<u64, StoreError> {
    let full = server.prefix(prefix, "abort the uploads of")?;
    abort_all(server, &full).map_err(|failed| server.failed(failed))
}

/// The same for names in the bucket that begin with `full`.
pub(super) fn abort_all(server: &Server, full: &str) -> Result<u64, Failed> {
    abort_all_but(server, full, "")
}

/// The same, except for uploads of the name `spared`.
pub(super) fn abort_all_but(server: &Server, full: &str, spared: &str) -> Result<u64, Failed> {
    let mut aborted = 0;
    for _ in 0..ABORT_ROUNDS_MAX {
        let mut uploads = unfinished(server, full).map_err(Failed::at(full, "list the uploads of"))?;
        uploads.retain(|(name, _)| name != spared);
        if uploads.is_empty() {
            break;
        }
        for (name, id) in &uploads {
            match abort(server, name, id) {
                Ok(()) => aborted += 1,
                Err(fault) if fault.is_of_no_upload() => {}
                Err(fault) => return Err(Failed::at(name, "abort the upload of")(fault)),
            }
        }
    }
    Ok(aborted)
}

/// The names and ids of the uploads under a prefix.
fn unfinished(server: &Server, full: &str) -> Result<Vec<(String, String)>, Fault> {
    let mut uploads = Vec::new();
    let mut markers = None;
    let mut seen = BTreeSet::new();
    loop {
        let (key, id) = markers.clone().unzip();
        let page = server.call(async |_| {
            let request = server.client.list_multipart_uploads().bucket(&server.location.bucket).prefix(full);
            let request = request.set_key_marker(key.clone()).set_upload_id_marker(id.clone().flatten());
            Ok(request.customize().interceptor(Whole).send().await?)
        })?;
        let found = page.uploads().iter().filter_map(|upload| Some((upload.key()?, upload.upload_id()?)));
        // Some servers treat the prefix as a hint and list other uploads too.
        uploads.extend(found.filter(|(key, _)| key.starts_with(full)).map(|(key, id)| (key.to_owned(), id.to_owned())));
        let next = next_markers(&page, &mut seen)
            .map_err(|why| Fault::broken(server.at(), &format!("ListMultipartUploads of {full:?}"), &why))?;
        if next.is_none() {
            return Ok(uploads);
        }
        markers = next;
    }
}

/// Where the next page begins: behind a key and, if the server says so, behind an upload of it.
type Markers = (String, Option<String>);

/// The markers of the next page, if there is one.
fn next_markers(page: &ListMultipartUploadsOutput, seen: &mut BTreeSet<Markers>) -> Result<Option<Markers>, String> {
    let is_truncated = page.is_truncated().ok_or("it has no IsTruncated, so there may be more")?;
    if !is_truncated {
        return Ok(None);
    }
    let key = page.next_key_marker().filter(|key| !key.is_empty());
    let key = key.ok_or("IsTruncated is true, but there is no NextKeyMarker to go on with")?;
    let id = page.next_upload_id_marker().filter(|id| !id.is_empty());
    let next = (key.to_owned(), id.map(str::to_owned));
    if !seen.insert(next.clone()) {
        return Err(format!("NextKeyMarker {:?} leads back to an earlier page", one_line(key)));
    }
    Ok(Some(next))
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
