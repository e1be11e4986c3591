//! The smoke test of a store: each kind of request that backups need, one after the other.
//!
//! What they leave lies under a prefix of the test's own and is removed in any case.

use anyhow::{Context, ensure};
use bytes::Bytes;
use septet_store::{Access, Store, StoreErrorKind};

use crate::Observer;
use crate::smoke::step;
use crate::words::size;

/// The least that S3 takes for a part that is not the last.
const PART_BYTES: usize = 5 << 20;

/// Tries a store, in keys below `name`.
pub(super) fn store_steps(url: &str, name: &str, observer: &mut dyn Observer) -> anyhow::Result<()> {
    let store = septet_store::open(url, Access::Create)?;
    let key = |what: &str| format!("{name}/{what}");
    let tried = steps(&*store, &key("small"), &key("large"), &format!("{name}/"), observer);
    if tried.is_err() {
        // What could not be written needs not be removed, and the first error is the one to read.
        let _ = store.delete(&[key("small"), key("large")]);
        let _ = store.abort_unfinished(&format!("{name}/"));
    }
    tried
}

fn steps(store: &dyn Store, small: &str, large: &str, prefix: &str, observer: &mut dyn Observer) -> anyhow::Result<()> {
    let body = Bytes::from_static(b"septet smoke test");
    step(observer, "put", |observer| {
        store.put(small, body.clone())?;
        if let Some(note) = store.note()? {
            observer.note(&note);
        }
        Ok(size(body.len() as u64))
    })?;
    step(observer, "ranged get", |_| {
        let mut part = [0; 5];
        store.read_at(small, 7, &mut part)?;
        ensure!(part == body[7..12], "bytes 7..12 are not those that were put");
        Ok("5 bytes".to_owned())
    })?;
    step(observer, "multipart", |_| multipart(store, large))?;
    step(observer, "conditional put", |_| conditional(store, small, &body))?;
    step(observer, "list", |_| {
        let found: Vec<String> = store.list(prefix)?.into_iter().map(|object| object.key).collect();
        ensure!(found == [large, small], "the list shows {found:?} instead of the two objects that were put");
        Ok(format!("{} objects", found.len()))
    })?;
    step(observer, "delete", |_| {
        store.delete(&[small.to_owned(), large.to_owned()])?;
        let left = store.list(prefix)?;
        ensure!(left.is_empty(), "{} of the objects are still listed", left.len());
        let unfinished = store.abort_unfinished(prefix)?;
        ensure!(unfinished == 0, "{unfinished} unfinished uploads were left");
        Ok("2 objects".to_owned())
    })
}

/// Two parts, the last one first.
fn multipart(store: &dyn Store, key: &str) -> anyhow::Result<String> {
    let content: Vec<u8> = (0..=250).cycle().take(PART_BYTES + 1000).collect();
    let (first, last) = content.split_at(PART_BYTES);
    let upload = store.upload(key)?;
    upload.put_part(1, PART_BYTES as u64, vec![Bytes::copy_from_slice(last)])?;
    upload.put_part(0, 0, vec![Bytes::copy_from_slice(first)])?;
    upload.finish()?;
    let read = store.get(key, content.len() as u64)?;
    ensure!(read == content, "an object of two parts does not read as it was written");
    Ok("2 parts, the last one first".to_owned())
}

/// Of two writers one must win: that is what keeps two runs of one backup apart.
fn conditional(store: &dyn Store, taken: &str, body: &Bytes) -> anyhow::Result<String> {
    match store.put_if_absent(taken, Bytes::from_static(b"another")) {
        Err(error) if error.kind() == StoreErrorKind::AlreadyExists => {}
        Err(error) => return Err(error.into()),
        Ok(()) => anyhow::bail!(
            "the server ignores If-None-Match: of two runs that write one backup the later would win unnoticed; \
             upgrade the server, or never let two runs have one --id"
        ),
    }
    let read = store.get(taken, 1000).context("reading what the refused put must have left")?;
    ensure!(read == body[..], "a put that was refused has changed the object");
    Ok("the second writer is told".to_owned())
}
