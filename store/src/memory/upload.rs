//! Uploads to a store in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::{LateKind, Memory, lock};
use crate::{StoreError, StoreErrorKind, Upload};

/// An upload to a memory store.
pub(super) struct MemoryUpload {
    store: Arc<Memory>,
    number: u64,
    key: String,
    parts: Mutex<BTreeMap<u32, (u64, Vec<u8>)>>,
    /// Whether the completion was sent and its result is unknown.
    sent: AtomicBool,
}

impl Upload for MemoryUpload {
    fn put_part(&self, number: u32, offset_bytes: u64, body: Vec<Bytes>) -> Result<(), StoreError> {
        self.store.enter();
        self.check_open()?;
        self.store.change(&self.key, |_| drop(lock(&self.parts).insert(number, (offset_bytes, body.concat()))))
    }

    fn finish(&self) -> Result<(), StoreError> {
        self.store.enter();
        let mut parts: Vec<_> = lock(&self.parts).values().cloned().collect();
        parts.sort_by_key(|(offset, _)| *offset);
        let mut object = Vec::new();
        for (offset, body) in parts {
            if offset != object.len() as u64 {
                return Err(self.store.error(StoreErrorKind::Other, &self.key, "a gap or an overlap"));
            }
            object.extend(body);
        }
        self.check_open()?;
        let object = Bytes::from(object);
        if let Err(error) = self.store.delays(&self.key, &object, LateKind::Finish(self.number)) {
            // The completion may still be applied, so dropping the upload must not abort it.
            self.sent.store(true, Ordering::Relaxed);
            return Err(error);
        }
        self.store.change(&self.key, |state| {
            state.unfinished.remove(&self.number);
            state.insert(&self.key, object);
        })
    }

    fn abort(&self) {
        if !self.sent.load(Ordering::Relaxed) && lock(&self.store.state).unfinished.contains_key(&self.number) {
            let _ = self.store.change(&self.key, |state| state.unfinished.remove(&self.number));
        }
    }
}

impl MemoryUpload {
    pub(super) fn new(store: Arc<Memory>, number: u64, key: &str) -> Self {
        Self { store, number, key: key.to_owned(), parts: Mutex::default(), sent: AtomicBool::new(false) }
    }

    fn check_open(&self) -> Result<(), StoreError> {
        let open = self.store.read(&self.key)?.unfinished.contains_key(&self.number);
        let over = || self.store.error(StoreErrorKind::Other, &self.key, "the upload was finished or aborted");
        open.then_some(()).ok_or_else(over)
    }
}

impl Drop for MemoryUpload {
    fn drop(&mut self) {
        self.abort();
    }
}
