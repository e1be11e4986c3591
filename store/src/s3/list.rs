//! Lists objects, up to a thousand in each request.
//!
//! A deletion removes what no listed backup needs. So an incomplete listing must be an error. Each page must say whether
//! more follow, must continue the page before it, and must arrive completely.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::SystemTime;

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::Object;

use super::fault::{Fault, one_line};
use super::own::is_own;
use super::server::Server;
use super::whole::Whole;
use crate::{ObjectInfo, StoreError};

/// All objects under a prefix, sorted.
pub(super) fn list(server: &Server, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
    let full = server.prefix(prefix, "list")?;
    let root = &server.location.prefix;
    let mut objects = Vec::new();
    let listed = pages(server, &full, None, |page| {
        for object in page.contents() {
            let key = object.key().and_then(|name| name.strip_prefix(root.as_str())).unwrap_or_default();
            // A name that ends in a slash is a directory marker of another tool.
            if !key.is_empty() && !key.ends_with('/') && !is_own(key) {
                objects.push(info(key, object)?);
            }
        }
        Ok(ControlFlow::Continue(()))
    });
    listed.map_err(|fault| server.error(prefix, "list", fault))?;
    objects.sort();
    Ok(objects)
}

fn info(key: &str, object: &Object) -> Result<ObjectInfo, String> {
    let bytes = object.size().and_then(|bytes| u64::try_from(bytes).ok());
    Ok(ObjectInfo {
        key: key.to_owned(),
        bytes: bytes.ok_or_else(|| format!("{:?} has no Size", one_line(key)))?,
        modified: object.last_modified().and_then(|date| SystemTime::try_from(*date).ok()),
    })
}

/// The names one level below a prefix that have objects below them.
pub(super) fn list_children(server: &Server, prefix: &str) -> Result<Vec<String>, StoreError> {
    let full = server.prefix(prefix, "list")?;
    let mut names = Vec::new();
    let listed = pages(server, &full, Some("/"), |page| {
        for below in page.common_prefixes().iter().filter_map(|below| below.prefix()) {
            let name = below.strip_prefix(&full).and_then(|name| name.strip_suffix('/'));
            let name = name.ok_or_else(|| format!("{:?} does not end in the delimiter", one_line(below)))?;
            names.push(name.to_owned());
        }
        Ok(ControlFlow::Continue(()))
    });
    listed.map_err(|fault| server.error(prefix, "list", fault))?;
    names.sort();
    Ok(names)
}

/// Whether the store holds nothing except its own note and probes.
pub(super) fn is_empty(server: &Server) -> Result<bool, StoreError> {
    let root = &server.location.prefix;
    let mut is_empty = true;
    let listed = pages(server, root, None, |page| {
        let mut names = page.contents().iter().filter_map(Object::key);
        is_empty = names.all(|name| name.strip_prefix(root.as_str()).is_some_and(is_own));
        Ok(if is_empty { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    });
    listed.map_err(|fault| server.error("", "list", fault))?;
    Ok(is_empty)
}

/// The names of all objects that begin with `full`.
pub(super) fn names(server: &Server, full: &str) -> Result<Vec<String>, Fault> {
    let mut names = Vec::new();
    pages(server, full, None, |page| {
        names.extend(page.contents().iter().filter_map(Object::key).map(str::to_owned));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(names)
}

/// Passes each page to `each` after checking it, until the last page or until `each` breaks.
fn pages(
    server: &Server,
    full: &str,
    delimiter: Option<&str>,
    mut each: impl FnMut(&ListObjectsV2Output) -> Result<ControlFlow<()>, String>,
) -> Result<(), Fault> {
    let mut token = None;
    let mut checks = Checks { objects: Names::under(full), below: Names::under(full), tokens: BTreeSet::new() };
    loop {
        let page = server.call(async |_| {
            let request = server.client.list_objects_v2().bucket(&server.location.bucket).prefix(full);
            let request = request.set_delimiter(delimiter.map(str::to_owned)).set_continuation_token(token.clone());
            Ok(request.customize().interceptor(Whole).send().await?)
        })?;
        let broken = |why: String| {
            let after = token.as_deref().map(|token| format!(" after {:?}", one_line(token))).unwrap_or_default();
            Fault::broken(server.at(), &format!("ListObjectsV2 of {full:?}{after}"), &why)
        };
        let next = checks.next(&page).map_err(broken)?;
        let seen = each(&page).map_err(broken)?;
        if seen.is_break() || next.is_none() {
            return Ok(());
        }
        token = next;
    }
}

/// What the pages so far require of the next one.
struct Checks {
    objects: Names,
    below: Names,
    tokens: BTreeSet<String>,
}

impl Checks {
    /// Checks a page. Returns the token of the next one, if there is one.
    fn next(&mut self, page: &ListObjectsV2Output) -> Result<Option<String>, String> {
        page.contents().iter().try_for_each(|object| self.objects.add(object.key()))?;
        page.common_prefixes().iter().try_for_each(|below| self.below.add(below.prefix()))?;
        let is_truncated = page.is_truncated().ok_or("it has no IsTruncated, so there may be more")?;
        if !is_truncated {
            return Ok(None);
        }
        let token = page.next_continuation_token().filter(|token| !token.is_empty());
        let token = token.ok_or("IsTruncated is true, but there is no NextContinuationToken to go on with")?;
        if !self.tokens.insert(token.to_owned()) {
            return Err(format!("NextContinuationToken {:?} leads back to an earlier page", one_line(token)));
        }
        Ok(Some(token.to_owned()))
    }
}

/// Checks the names of a listing: all must begin with the prefix, and they must be sorted without repetition. S3 sorts
/// by bytes. Servers that store objects in directories sort by the names between slashes.
struct Names {
    prefix: String,
    last: Option<String>,
    by_bytes: bool,
    by_path: bool,
}

impl Names {
    fn under(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), last: None, by_bytes: true, by_path: true }
    }

    fn add(&mut self, name: Option<&str>) -> Result<(), String> {
        let name = name.ok_or("an entry has no name")?;
        if !name.starts_with(&self.prefix) {
            return Err(format!("{:?} does not begin with the prefix", one_line(name)));
        }
        if let Some(last) = &self.last {
            self.by_bytes &= last.as_str() < name;
            self.by_path &= last.split('/').lt(name.split('/'));
            if !self.by_bytes && !self.by_path {
                let [last, name] = [last, name].map(one_line);
                return Err(format!(
                    "{name:?} comes after {last:?}, so the names are not sorted and some may be missing"
                ));
            }
        }
        self.last = Some(name.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(names: &[&str]) -> Result<(), String> {
        let mut listing = Names::under("r/");
        names.iter().try_for_each(|name| listing.add(Some(name)))
    }

    #[test]
    fn names_are_sorted_by_bytes_or_as_directories_are() {
        assert_eq!(add(&["r/a!/x", "r/a/b", "r/a/c", "r/a0"]), Ok(()));
        assert_eq!(add(&["r/a/b", "r/a/c", "r/a!/x", "r/a0"]), Ok(()));
        assert_eq!(add(&["r/vol/", "r/vol-1/"]), Ok(()));
        for names in [
            &["r/a", "r/a"][..],
            &["r/b", "r/a"],
            &["r/a", "r/b", "r/a"],
            &["s/a"],
            &["r"],
            &["r/a!/x", "r/a/b", "r/a!/y"],
        ] {
            assert!(add(names).is_err(), "{names:?}");
        }
        assert!(Names::under("").add(None).is_err());
    }
}
