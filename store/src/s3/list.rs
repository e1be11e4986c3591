//! Lists objects, up to a thousand in each request.

use super::probe::NOTE_KEY;
use super::server::Server;
use crate::{ObjectInfo, StoreError};
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use std::time::SystemTime;

/// All objects under a prefix, sorted.
pub(super) fn list(server: &Server, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
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
                    modified: object.last_modified().and_then(|date| SystemTime::try_from(*date).ok()),
                });
            }
        }
    })?;
    objects.sort();
    Ok(objects)
}

/// The names one level below a prefix that have objects below them.
pub(super) fn list_children(server: &Server, prefix: &str) -> Result<Vec<String>, StoreError> {
    let full = server.prefix(prefix, "list")?;
    let mut names = Vec::new();
    pages(server, prefix, Some("/"), |page| {
        let below = page.common_prefixes().iter().filter_map(|below| below.prefix());
        names.extend(below.filter_map(|below| Some(below.strip_prefix(&full)?.strip_suffix('/')?.to_owned())));
    })?;
    names.sort();
    Ok(names)
}

/// Whether the store holds nothing except its own note.
pub(super) fn is_empty(server: &Server) -> Result<bool, StoreError> {
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
