//! Opens a store by its path or URL.

use std::path::PathBuf;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use crate::given_by::GivenBy;
use crate::{Access, Directory, Store, StoreError, StoreErrorKind};

/// The kind of store that a URL names.
#[derive(Debug)]
pub(crate) enum Place {
    Directory(PathBuf),
    S3,
    #[cfg(any(test, feature = "simulation"))]
    Memory(String),
}

/// Parses a URL. The error says what is wrong with it.
pub(crate) fn place(url: &str) -> Result<Place, String> {
    Ok(match url.split_once("://") {
        None => Place::Directory(PathBuf::from(url)),
        Some(("file", rest)) => Place::Directory(file_url_path(rest)?),
        Some(("s3", _)) => Place::S3,
        #[cfg(any(test, feature = "simulation"))]
        Some(("memory", name)) => Place::Memory(name.to_owned()),
        Some((scheme, _)) if is_scheme(scheme) => {
            return Err(format!("unknown scheme {scheme:?}: use a path, file:// or s3://"));
        }
        Some(_) => Place::Directory(PathBuf::from(url)),
    })
}

/// Opens a store: a directory as a path or `file:///path`, a bucket as `s3://bucket/prefix`. Sends no request to a
/// server. For any other scheme, the error names the supported ones.
pub fn open(url: &str, access: Access) -> Result<Arc<dyn Store>, StoreError> {
    open_by(url, access, GivenBy::User)
}

/// Opens an existing store by a URL of [`Store::url_for_writers`] that another process of the run has passed on. Never
/// use it for a user's URL, because it trusts what the URL says about the server.
pub fn open_handed_on(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    open_by(url, Access::Existing, GivenBy::Supervisor)
}

fn open_by(url: &str, access: Access, by: GivenBy) -> Result<Arc<dyn Store>, StoreError> {
    let refused = |cause: String| StoreError::new(StoreErrorKind::Other, url, "", "open", cause);
    match place(url).map_err(refused)? {
        Place::Directory(path) => Ok(Arc::new(Directory::open(&path, access)?)),
        #[cfg(feature = "s3")]
        Place::S3 => Ok(Arc::new(crate::S3::open_from(url, by)?)),
        #[cfg(not(feature = "s3"))]
        Place::S3 => {
            let _ = by;
            Err(refused("this septet was built without S3".to_owned()))
        }
        #[cfg(any(test, feature = "simulation"))]
        Place::Memory(name) => {
            let store = crate::Memory::named(&name).ok_or_else(|| refused("there is none of that name".to_owned()))?;
            Ok(store)
        }
    }
}

/// Whether the text before `://` can be a URL's scheme. Otherwise the whole is a path that contains `://`.
fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// The path of a `file://` URL. `rest` is the URL without its scheme.
fn file_url_path(rest: &str) -> Result<PathBuf, &'static str> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err("a file URL names an absolute path on this host: write file:///path");
    }
    let escape = |piece: &str| piece.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    let decoded = percent_decode_str(path).decode_utf8().ok().filter(|_| path.split('%').skip(1).all(escape));
    decoded.map(|path| PathBuf::from(path.into_owned())).ok_or("the URL contains an invalid percent escape")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_a_file_url_are_the_same_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("with space");
        let store = open(path.to_str().unwrap(), Access::Create).unwrap();
        store.put("a", bytes::Bytes::from_static(b"x")).unwrap();
        let url = format!("file://{}", path.to_str().unwrap().replace(' ', "%20"));
        let same = open(&url, Access::Existing).unwrap();
        assert_eq!(same.get("a", 1).unwrap(), b"x");
        assert_eq!(open(&same.url(), Access::Existing).unwrap().url(), store.url());
    }

    #[test]
    fn what_cannot_be_opened_says_why() {
        let said = |url: &str| open(url, Access::Existing).err().unwrap().to_string();
        assert!(said("s3://").contains("s3://BUCKET/PREFIX"));
        assert!(said("gopher://host/").contains("use a path, file:// or s3://"));
        assert!(said("file://host/path").contains("file:///path"));
        assert!(said("file:///a%zz").contains("invalid percent escape"));
        assert!(said("file:///a%").contains("invalid percent escape"));
        assert!(said("/does/not/exist").contains("/does/not/exist"));
        assert!(said("").contains("open"));
    }
}
