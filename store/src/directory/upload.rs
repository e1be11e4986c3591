//! An upload of a large object to a directory. Each part is written at its offset in a temporary file, from any thread
//! and in any order. Each written part is recorded, and only a complete object is published.

use super::reader::Reader;
use super::root::{Root, file_name};
use super::temporary::Temporary;
use super::writer::Writer;
use crate::{StoreError, Upload};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The temporary file and the parts written so far.
pub(super) struct DirectoryUpload {
    root: Arc<Root>,
    reader: Arc<Reader>,
    key: String,
    path: PathBuf,
    writer: Writer,
    state: Mutex<State>,
}

struct State {
    /// `None` once the upload is published or aborted.
    temporary: Option<Temporary>,
    /// `None` while a part is being written, or if it failed.
    parts: BTreeMap<u32, Option<Part>>,
}

#[derive(Clone, Copy)]
struct Part {
    offset_bytes: u64,
    bytes: u64,
}

impl DirectoryUpload {
    pub(super) fn begin(root: &Arc<Root>, reader: &Arc<Reader>, key: &str) -> Result<Self, StoreError> {
        let path = root.path_of(key, "write")?;
        let (temporary, file) = Temporary::create(root, key).map_err(|errno| root.error(key, "write", errno))?;
        let writer = Writer::new(file, temporary.open_direct());
        let state = State { temporary: Some(temporary), parts: BTreeMap::new() };
        let (root, reader, key) = (root.clone(), reader.clone(), key.to_owned());
        Ok(DirectoryUpload { root, reader, key, path, writer, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse(&self, why: &str) -> StoreError {
        self.root.refuse(&self.key, "write", why)
    }
}

impl Upload for DirectoryUpload {
    fn put_part(&self, number: u32, offset_bytes: u64, body: Vec<Bytes>) -> Result<(), StoreError> {
        let bytes = body.iter().map(|piece| piece.len() as u64).sum();
        let end = offset_bytes.checked_add(bytes).filter(|end| i64::try_from(*end).is_ok());
        end.ok_or_else(|| self.refuse("a part lies beyond what a file can hold"))?;
        {
            let mut state = self.state();
            if state.temporary.is_none() {
                return Err(self.refuse("the upload has ended: no part can be added"));
            }
            state.parts.insert(number, None);
        }
        self.writer.write_at(offset_bytes, &body).map_err(|errno| self.root.error(&self.key, "write", errno))?;
        self.state().parts.insert(number, Some(Part { offset_bytes, bytes }));
        Ok(())
    }

    fn finish(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        let bytes = state.whole_bytes().map_err(|why| self.refuse(why))?;
        // If this fails, it cannot be retried: after a failed fsync, a second fsync may succeed although data was lost.
        let mut temporary = state.temporary.take().ok_or_else(|| self.refuse("the upload has already ended"))?;
        let finished = self.writer.finish(bytes).and_then(|()| temporary.publish(file_name(&self.key)));
        self.reader.forget(&self.path);
        finished.map_err(|errno| self.root.error(&self.key, "write", errno))
    }

    fn abort(&self) {
        self.state().temporary = None;
    }
}

impl State {
    /// The object's length. Returns an error if the parts have a gap or overlap.
    fn whole_bytes(&self) -> Result<u64, &'static str> {
        let mut end_bytes = 0;
        for (expected, (number, part)) in (0..).zip(&self.parts) {
            let part = part.ok_or("a part of the object has failed, or is still being written")?;
            if (*number, part.offset_bytes) != (expected, end_bytes) {
                return Err("a part of the object is missing or overlaps another one");
            }
            end_bytes += part.bytes;
        }
        Ok(end_bytes)
    }
}
