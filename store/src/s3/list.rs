//! Listing and deleting, a thousand names a request.

use super::S3;
use super::fault::{Fault, Retry};
use super::probe::NOTE_KEY;
use super::server::Server;
use crate::{ObjectInfo, StoreError, StoreErrorKind};
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use md5::{Digest, Md5};

/// As many as S3 takes.
const KEYS_PER_REQUEST: usize = 1000;
/// If a server still lists uploads after this many rounds, new ones appear as fast as they are aborted.
const ABORT_ROUNDS_MAX: usize = 5;

/// All objects under a prefix, sorted.
pub(super) fn list(store: &S3, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
    let server = &store.server;
    let root = &server.location.prefix;
    let mut objects = Vec::new();
    pages(server, prefix, None, |page| {
        for object in page.contents() {
            let key = object.key().and_then(|name| name.strip_prefix(root.as_str()));
            // A name that ends in a slash is a directory marker of another tool. The note is the store's own.
            if let Some(key) = key.filter(|key| !key.is_empty() && !key.ends_with('/') && *key != NOTE_KEY) {
                objects.push(ObjectInfo {
                    key: key.to_owned(),
                    bytes: u64::try_from(object.size().unwrap_or(0)).unwrap_or(0),
                });
            }
        }
    })?;
    objects.sort();
    Ok(objects)
}

/// The names one level below a prefix that have objects below them.
pub(super) fn list_children(store: &S3, prefix: &str) -> Result<Vec<String>, StoreError> {
    let server = &store.server;
    let full = server.prefix(prefix, "list")?;
    let mut names = Vec::new();
    pages(server, prefix, Some("/"), |page| {
        let below = page.common_prefixes().iter().filter_map(|below| below.prefix());
        names.extend(below.filter_map(|below| Some(below.strip_prefix(&full)?.strip_suffix('/')?.to_owned())));
    })?;
    names.sort();
    Ok(names)
}

/// Whether there is nothing but what this store itself has noted.
pub(super) fn is_empty(store: &S3) -> Result<bool, StoreError> {
    let server = &store.server;
    let note = server.name(NOTE_KEY, "list")?;
    let request = || server.client.list_objects_v2().bucket(&server.location.bucket).prefix(&server.location.prefix);
    let page = server.call(async |_| Ok(request().max_keys(2).send().await?));
    let page = page.map_err(|fault| server.error("", "list", fault))?;
    Ok(page.contents().iter().all(|object| object.key() == Some(&note)))
}

fn pages(
    server: &Server,
    prefix: &str,
    delimiter: Option<&str>,
    mut each: impl FnMut(&ListObjectsV2Output),
) -> Result<(), StoreError> {
    let full = server.prefix(prefix, "list")?;
    let mut token = None;
    loop {
        let page = server.call(async |_| {
            let request = server.client.list_objects_v2().bucket(&server.location.bucket).prefix(&full);
            let request = request.set_delimiter(delimiter.map(str::to_owned)).set_continuation_token(token.clone());
            Ok(request.send().await?)
        });
        let page = page.map_err(|fault| server.error(prefix, "list", fault))?;
        each(&page);
        let next = page.next_continuation_token().map(str::to_owned);
        if !page.is_truncated().unwrap_or(false) || next.is_none() || next == token {
            return Ok(());
        }
        token = next;
    }
}

/// Removes objects. An absent object is no error.
pub(super) fn delete(store: &S3, keys: &[String]) -> Result<(), StoreError> {
    let server = &store.server;
    let names: Vec<String> = keys.iter().map(|key| server.name(key, "delete")).collect::<Result<_, _>>()?;
    for (keys, names) in keys.chunks(KEYS_PER_REQUEST).zip(names.chunks(KEYS_PER_REQUEST)) {
        match names {
            [name] => delete_one(server, name).map_err(|fault| server.error(&keys[0], "delete", fault))?,
            names => {
                delete_many(server, names).map_err(|(index, fault)| server.error(&keys[index], "delete", fault))?
            }
        }
    }
    Ok(())
}

pub(super) fn delete_one(server: &Server, name: &str) -> Result<(), Fault> {
    let request = || server.client.delete_object().bucket(&server.location.bucket).key(name);
    let deleted = server.call(async |_| Ok(request().send().await.map(drop)?));
    deleted.or_else(|fault| if fault.kind == StoreErrorKind::NotFound { Ok(()) } else { Err(fault) })
}

/// Deletes a batch; an error names the first object that stayed.
fn delete_many(server: &Server, names: &[String]) -> Result<(), (usize, Fault)> {
    let unsent =
        |error| (0, Fault::new(StoreErrorKind::Other, Retry::Never, format!("the request cannot be made: {error}")));
    let objects: Result<Vec<_>, _> = names.iter().map(|name| ObjectIdentifier::builder().key(name).build()).collect();
    let batch = Delete::builder().set_objects(Some(objects.map_err(unsent)?)).quiet(true).build().map_err(unsent)?;
    let mut index = 0;
    let deleted = server.call(async |_| {
        let request = server.client.delete_objects().bucket(&server.location.bucket).delete(batch.clone());
        let answer = request.customize().mutate_request(add_md5).send().await?;
        let stayed = answer.errors().iter().find(|error| error.code() != Some("NoSuchKey"));
        let Some(error) = stayed else { return Ok(()) };
        index = names.iter().position(|name| Some(name.as_str()) == error.key()).unwrap_or(0);
        Err(Fault::refused(error.code().unwrap_or_default(), error.message().unwrap_or_default()))
    });
    deleted.map_err(|fault| (index, fault))
}

/// Older servers require an MD5 of the request's body; newer ones accept it.
fn add_md5(request: &mut aws_sdk_s3::config::http::HttpRequest) {
    if let Some(body) = request.body().bytes() {
        let sum = base64_simd::STANDARD.encode_to_string(Md5::digest(body));
        request.headers_mut().insert("content-md5", sum);
    }
}

/// Aborts the uploads under a prefix and returns their number.
pub(super) fn abort_unfinished(store: &S3, prefix: &str) -> Result<u64, StoreError> {
    let server = &store.server;
    let full = server.prefix(prefix, "abort the uploads of")?;
    abort_all(server, &full).map_err(|fault| server.error(prefix, "abort the uploads of", fault))
}

/// The same for names that begin with `full`.
pub(super) fn abort_all(server: &Server, full: &str) -> Result<u64, Fault> {
    let mut aborted = 0;
    for _ in 0..ABORT_ROUNDS_MAX {
        let uploads = unfinished(server, full)?;
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
        // Some servers treat the prefix only as a hint.
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
