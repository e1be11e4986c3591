//! The permissions that a process needs to use a store.

use septet_sandbox::Needs;

use crate::open::{Place, place};

/// The permissions to read the store at this URL.
pub fn needs_to_read(url: &str) -> Needs {
    match place(url) {
        Ok(Place::Directory(path)) => Needs::nothing().read(path),
        other => of_servers(&other),
    }
}

/// The permissions to read, write and delete.
pub fn needs_to_write(url: &str) -> Needs {
    match place(url) {
        Ok(Place::Directory(path)) => Needs::nothing().write(path),
        other => of_servers(&other),
    }
}

/// Whether the store takes credentials from the environment.
pub fn wants_credentials(url: &str) -> bool {
    matches!(place(url), Ok(Place::S3))
}

/// An invalid URL needs nothing. Opening it reports the error.
fn of_servers(place: &Result<Place, String>) -> Needs {
    match place {
        #[cfg(feature = "s3")]
        Ok(Place::S3) => crate::s3::needs(),
        _ => Needs::nothing(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_needs_no_network_and_no_credentials() {
        assert_eq!(needs_to_read("/srv/b"), Needs::nothing().read("/srv/b"));
        assert_eq!(needs_to_write("file:///srv/b%20c"), Needs::nothing().write("/srv/b c"));
        assert!(!wants_credentials("/srv/b") && wants_credentials("s3://bucket/prefix"));
        assert_eq!(needs_to_write("gopher://host"), Needs::nothing());
    }
}
