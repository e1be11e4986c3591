//! The smoke test of a store: it makes each kind of request that backups need, one after the other.
//!
//! All objects lie under a prefix of the test's own. The test removes them if the server can be reached.

use bytes::Bytes;
use septet_store::{Access, Store, StoreError, StoreErrorKind};

/// The minimum size of a part in S3, except for the last one.
const PART_BYTES: usize = 5 << 20;

/// The progress of a trial of a store.
#[derive(Debug)]
pub enum Trial<'a> {
    /// A step has passed.
    Passed {
        /// Its name.
        step: &'a str,
        /// What it did.
        result: &'a str,
    },
    /// A message for the user.
    Note(&'a str),
}

/// Why a store is not suitable for a repository.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// A request failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A request had the wrong result.
    #[error("{0}")]
    Wrong(String),
}

/// The step of a trial that failed.
#[derive(Debug, thiserror::Error)]
#[error("{step}")]
pub struct FailedTrial {
    step: &'static str,
    #[source]
    cause: Unfit,
}

impl FailedTrial {
    fn is_unavailable(&self) -> bool {
        matches!(&self.cause, Unfit::Store(error) if error.kind() == StoreErrorKind::Unavailable)
    }
}

type Tried = std::result::Result<String, Unfit>;

/// Tries the store at `url` with keys below `name`. Calls `tell` for each step that passes.
///
/// # Errors
/// The failed step, and the cause.
pub fn try_store(url: &str, name: &str, tell: &mut dyn FnMut(Trial)) -> std::result::Result<(), FailedTrial> {
    let store =
        septet_store::open(url, Access::Create).map_err(|error| FailedTrial { step: "open", cause: error.into() })?;
    let key = |what: &str| format!("{name}/{what}");
    let tried = steps(&*store, &key("small"), &key("large"), &format!("{name}/"), tell);
    // If the server can't be reached, each further request would take the user as long as the first one.
    if tried.as_ref().is_err_and(|failed| !failed.is_unavailable()) {
        // Only the first error helps the user.
        let _ = store.delete(&[key("small"), key("large")]);
        let _ = store.abort_unfinished(&format!("{name}/"));
    }
    tried
}

fn steps(
    store: &dyn Store,
    small: &str,
    large: &str,
    prefix: &str,
    tell: &mut dyn FnMut(Trial),
) -> std::result::Result<(), FailedTrial> {
    let body = Bytes::from_static(b"septet smoke test");
    let mut step = |step: &'static str, run: &dyn Fn() -> Tried| {
        let result = run().map_err(|cause| FailedTrial { step, cause })?;
        tell(Trial::Passed { step, result: &result });
        Ok(())
    };
    step("put", &|| {
        store.put(small, body.clone())?;
        Ok(format!("{} bytes", body.len()))
    })?;
    step("ranged get", &|| {
        let mut part = [0; 5];
        store.read_at(small, 7, &mut part)?;
        ensure(part == body[7..12], || "bytes 7..12 are not those that were written".to_owned())?;
        Ok("5 bytes".to_owned())
    })?;
    step("multipart", &|| multipart(store, large))?;
    step("conditional put", &|| conditional(store, small, &body))?;
    step("list", &|| {
        let found: Vec<String> = store.list(prefix)?.into_iter().map(|object| object.key).collect();
        let right = found == [large, small];
        ensure(right, || format!("the list shows {found:?} instead of the two objects that were written"))?;
        Ok(format!("{} objects", found.len()))
    })?;
    step("delete", &|| {
        store.delete(&[small.to_owned(), large.to_owned()])?;
        let left = store.list(prefix)?;
        ensure(left.is_empty(), || format!("{} of the objects are still listed", left.len()))?;
        let unfinished = store.abort_unfinished(prefix)?;
        ensure(unfinished == 0, || format!("{unfinished} unfinished uploads were left"))?;
        Ok("2 objects".to_owned())
    })?;
    let note = store.note().map_err(|error| FailedTrial { step: "how uploads are protected", cause: error.into() })?;
    note.iter().for_each(|note| tell(Trial::Note(note)));
    Ok(())
}

/// Uploads two parts, the last one first.
fn multipart(store: &dyn Store, key: &str) -> Tried {
    let content: Vec<u8> = (0..=250).cycle().take(PART_BYTES + 1000).collect();
    let (first, last) = content.split_at(PART_BYTES);
    let upload = store.upload(key)?;
    upload.put_part(1, PART_BYTES as u64, vec![Bytes::copy_from_slice(last)])?;
    upload.put_part(0, 0, vec![Bytes::copy_from_slice(first)])?;
    upload.finish()?;
    let read = store.get(key, content.len() as u64)?;
    ensure(read == content, || "an object of two parts differs from what was written".to_owned())?;
    Ok("2 parts, the last one first".to_owned())
}

/// If two runs put the same key, exactly one must succeed. This keeps two runs of one backup apart.
fn conditional(store: &dyn Store, taken: &str, body: &Bytes) -> Tried {
    let wrong = |why: &str| Err(Unfit::Wrong(why.to_owned()));
    match store.put_if_absent(taken, Bytes::from_static(b"another")) {
        Err(error) if error.kind() == StoreErrorKind::AlreadyExists => {}
        Err(error) => return Err(error.into()),
        Ok(()) => {
            return wrong(
                "the server ignores If-None-Match: if two runs write the same backup, the later one overwrites the \
                 earlier one unnoticed; upgrade the server, or never use the same --id in two runs",
            );
        }
    }
    let read = store.get(taken, 1000)?;
    if read != body[..] {
        return wrong("a refused put changed the object");
    }
    Ok("the second writer is refused".to_owned())
}

fn ensure(good: bool, why: impl FnOnce() -> String) -> std::result::Result<(), Unfit> {
    if good { Ok(()) } else { Err(Unfit::Wrong(why())) }
}
