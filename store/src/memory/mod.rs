//! A store in memory, for simulations. It can stop permanently at any change: it then holds what a real store would
//! hold after a crash. It can run a hook before any operation, to simulate another host. It can also apply a write long
//! after its sender has given up ([`Memory::delay`]). Agents open it as `memory://NAME`.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::{
    ObjectInfo, PIECE_ALIGN_BYTES, PartRules, Store, StoreError, StoreErrorKind, Upload, check_key, check_prefix,
};

/// A request is carried out within this time, or never.
const LATE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// All memory stores that are still referenced.
static STORES: LazyLock<Mutex<HashMap<String, Weak<Memory>>>> = LazyLock::new(Mutex::default);

/// Objects in memory.
pub struct Memory {
    name: String,
    this: Weak<Memory>,
    state: Mutex<State>,
    pause: Mutex<Option<Pause>>,
    delay: Mutex<Delay>,
}

/// Whether a write of this key is to be delayed.
type Meant = Box<dyn Fn(&str) -> bool + Send>;

/// Writes that are applied late.
#[derive(Default)]
struct Delay {
    /// Which keys are affected.
    of: Option<Meant>,
    late: Vec<Late>,
}

/// A write that was sent and has not been applied yet.
struct Late {
    key: String,
    body: Bytes,
    kind: LateKind,
}

#[derive(Clone, Copy)]
enum LateKind {
    Put,
    PutIfAbsent,
    /// The completion of the upload with this number.
    Finish(u64),
}

/// A hook that runs before an operation.
struct Pause {
    /// How many operations happen before the hook runs.
    after: u64,
    act: Box<dyn FnOnce() + Send>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, (Bytes, SystemTime)>,
    /// The store's clock, counted from the Unix epoch.
    age: Duration,
    /// The keys that were deleted, and when.
    deleted: Vec<(String, SystemTime)>,
    /// Uploads that are neither finished nor aborted.
    unfinished: BTreeMap<u64, String>,
    next_upload: u64,
    /// How many changes were attempted.
    changes: u64,
    stop: Option<Stop>,
    stopped: bool,
}

impl State {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + self.age
    }

    fn insert(&mut self, key: &str, body: Bytes) {
        let now = self.now();
        self.objects.insert(key.to_owned(), (body, now));
    }
}

/// When a store stops.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    /// The change at which it stops, counted from 1 since the store was created.
    pub at: u64,
    /// Whether that change still takes effect. The caller gets the same error in both cases.
    pub applied: bool,
}

impl Memory {
    /// A new store. It can be opened as `memory://NAME` while it is referenced.
    pub fn new(name: &str) -> Arc<Self> {
        let store = Arc::new_cyclic(|this| Self {
            name: name.to_owned(),
            this: this.clone(),
            state: Mutex::default(),
            pause: Mutex::default(),
            delay: Mutex::default(),
        });
        lock(&STORES).insert(name.to_owned(), Arc::downgrade(&store));
        store
    }

    /// A new store with the same objects.
    pub fn copy(&self, name: &str) -> Arc<Self> {
        let store = Self::new(name);
        let (objects, age) = {
            let state = lock(&self.state);
            (state.objects.clone(), state.age)
        };
        let mut state = lock(&store.state);
        (state.objects, state.age) = (objects, age);
        drop(state);
        store
    }

    /// Advances the store's clock. Nothing else does.
    pub fn let_time_pass(&self, time: Duration) {
        lock(&self.state).age += time;
    }

    /// From now on each write of a key that is `meant` returns an error to its sender. The write is applied later, by
    /// [`carry_out_late`](Self::carry_out_late).
    pub fn delay(&self, meant: impl Fn(&str) -> bool + Send + 'static) {
        lock(&self.delay).of = Some(Box::new(meant));
    }

    /// Stops delaying writes. Returns whether any write was delayed.
    pub fn end_delay(&self) -> bool {
        let mut delay = lock(&self.delay);
        delay.of = None;
        !delay.late.is_empty()
    }

    /// Applies the delayed writes, whatever has happened since. Returns the keys that were written.
    pub fn carry_out_late(&self) -> Vec<String> {
        let late = std::mem::take(&mut lock(&self.delay).late);
        let mut state = lock(&self.state);
        let mut written = Vec::new();
        for Late { key, body, kind } in late {
            let goes = match kind {
                LateKind::Put => true,
                LateKind::PutIfAbsent => !state.objects.contains_key(&key),
                LateKind::Finish(number) => state.unfinished.remove(&number).is_some(),
            };
            if goes {
                state.insert(&key, body);
                written.push(key);
            }
        }
        written
    }

    /// Carries out again each deletion of the last day. A server may do so when a client repeats a request because it got
    /// no answer, or when a request was held up on its way.
    pub fn repeat_deletions(&self) {
        let mut state = lock(&self.state);
        let now = state.now();
        state.deleted.retain(|(_, then)| now.duration_since(*then).is_ok_and(|age| age < LATE_MAX));
        let State { objects, deleted, .. } = &mut *state;
        objects.retain(|key, _| deleted.iter().all(|(deleted, _)| deleted != key));
    }

    /// If this write is to be delayed, stores it for later and returns an error.
    fn delays(&self, key: &str, body: &Bytes, kind: LateKind) -> Result<(), StoreError> {
        let mut delay = lock(&self.delay);
        if delay.of.as_ref().is_none_or(|meant| !meant(key)) {
            return Ok(());
        }
        delay.late.push(Late { key: key.to_owned(), body: body.clone(), kind });
        Err(self.error(StoreErrorKind::Unavailable, key, "no answer came"))
    }

    /// Calls `act` before the operation that follows the next `after` operations. Reads count too.
    pub fn pause_at(&self, after: u64, act: impl FnOnce() + Send + 'static) {
        *lock(&self.pause) = Some(Pause { after, act: Box::new(act) });
    }

    /// Removes the hook. Returns whether it had not run yet.
    pub fn end_pause(&self) -> bool {
        lock(&self.pause).take().is_some()
    }

    /// Called when an operation begins. Runs the hook if it is due.
    fn enter(&self) {
        let due = {
            let mut pause = lock(&self.pause);
            match &mut *pause {
                Some(Pause { after: 0, .. }) => pause.take(),
                Some(Pause { after, .. }) => {
                    *after -= 1;
                    None
                }
                None => None,
            }
        };
        if let Some(Pause { act, .. }) = due {
            act();
        }
    }

    pub(crate) fn named(name: &str) -> Option<Arc<Self>> {
        lock(&STORES).get(name)?.upgrade()
    }

    /// Sets when the store stops. `None` lets it continue.
    pub fn set_stop(&self, stop: Option<Stop>) {
        let mut state = lock(&self.state);
        (state.stop, state.stopped) = (stop, false);
    }

    /// Whether it has stopped.
    pub fn has_stopped(&self) -> bool {
        lock(&self.state).stopped
    }

    /// How many changes were attempted so far.
    pub fn changes(&self) -> u64 {
        lock(&self.state).changes
    }

    /// The keys of unfinished uploads.
    pub fn unfinished(&self) -> Vec<String> {
        lock(&self.state).unfinished.values().cloned().collect()
    }

    fn read(&self, key: &str) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = lock(&self.state);
        if state.stopped { Err(self.error(StoreErrorKind::Unavailable, key, "it has stopped")) } else { Ok(state) }
    }

    /// Makes one change, or stops the store.
    fn change<T>(&self, key: &str, change: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        self.change_in(self.read(key)?, key, change)
    }

    /// The same with a state that the caller has locked already.
    fn change_in<T>(
        &self,
        mut state: MutexGuard<'_, State>,
        key: &str,
        change: impl FnOnce(&mut State) -> T,
    ) -> Result<T, StoreError> {
        state.changes += 1;
        match state.stop {
            Some(Stop { at, applied }) if state.changes >= at => {
                if applied {
                    change(&mut state);
                }
                state.stopped = true;
                Err(self.error(StoreErrorKind::Unavailable, key, "it has stopped"))
            }
            _ => Ok(change(&mut state)),
        }
    }

    fn error(&self, kind: StoreErrorKind, key: &str, cause: &str) -> StoreError {
        StoreError::new(kind, self.url(), key, "use", cause)
    }

    fn object(&self, key: &str) -> Result<Bytes, StoreError> {
        self.enter();
        self.check(key)?;
        let state = self.read(key)?;
        state
            .objects
            .get(key)
            .map(|(body, _)| body.clone())
            .ok_or_else(|| self.error(StoreErrorKind::NotFound, key, "it is not there"))
    }

    fn check(&self, key: &str) -> Result<(), StoreError> {
        check_key(key).map_err(|why| self.error(StoreErrorKind::Other, key, why))
    }

    fn check_prefix(&self, prefix: &str) -> Result<(), StoreError> {
        check_prefix(prefix).map_err(|why| self.error(StoreErrorKind::Other, prefix, why))
    }
}

impl Store for Memory {
    fn url(&self) -> String {
        format!("memory://{}", self.name)
    }

    fn get(&self, key: &str, bytes_max: u64) -> Result<Vec<u8>, StoreError> {
        let object = self.object(key)?;
        if object.len() as u64 > bytes_max {
            return Err(self.error(StoreErrorKind::Damaged, key, "it is longer than expected"));
        }
        Ok(object.to_vec())
    }

    fn read_at(&self, key: &str, offset_bytes: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        let object = self.object(key)?;
        let range =
            usize::try_from(offset_bytes).ok().and_then(|start| object.get(start..start.checked_add(buf.len())?));
        buf.copy_from_slice(range.ok_or_else(|| self.error(StoreErrorKind::Damaged, key, "it ends before that"))?);
        Ok(())
    }

    fn len(&self, key: &str) -> Result<u64, StoreError> {
        self.object(key).map(|object| object.len() as u64)
    }

    fn put(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        self.enter();
        self.check(key)?;
        self.delays(key, &body, LateKind::Put)?;
        self.change(key, |state| state.insert(key, body))
    }

    fn put_if_absent(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        self.enter();
        self.check(key)?;
        self.delays(key, &body, LateKind::PutIfAbsent)?;
        // The check and the write happen under one lock, because other threads may write at the same time.
        let state = self.read(key)?;
        if state.objects.contains_key(key) {
            return Err(self.error(StoreErrorKind::AlreadyExists, key, "the key is taken"));
        }
        self.change_in(state, key, |state| state.insert(key, body))
    }

    fn upload(&self, key: &str) -> Result<Box<dyn Upload>, StoreError> {
        self.enter();
        self.check(key)?;
        let number = self.change(key, |state| {
            state.next_upload += 1;
            state.unfinished.insert(state.next_upload, key.to_owned());
            state.next_upload
        })?;
        let store = self.this.upgrade().ok_or_else(|| self.error(StoreErrorKind::Other, key, "it is gone"))?;
        Ok(Box::new(MemoryUpload::new(store, number, key)))
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        self.enter();
        self.check_prefix(prefix)?;
        let state = self.read(prefix)?;
        let objects = state.objects.iter().filter(|(key, _)| key.starts_with(prefix));
        let info = |(key, (body, modified)): (&String, &(Bytes, SystemTime))| ObjectInfo {
            key: key.clone(),
            bytes: body.len() as u64,
            modified: Some(*modified),
        };
        Ok(objects.map(info).collect())
    }

    fn list_children(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let below = self.list(prefix)?.into_iter();
        let names = below.filter_map(|object| Some(object.key[prefix.len()..].split_once('/')?.0.to_owned()));
        let mut names: Vec<_> = names.collect();
        names.dedup();
        Ok(names)
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.read("")?.objects.is_empty())
    }

    fn now(&self) -> Result<Option<SystemTime>, StoreError> {
        Ok(Some(self.read("")?.now()))
    }

    fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        keys.iter().try_for_each(|key| self.check(key))?;
        keys.iter().try_for_each(|key| {
            self.enter();
            self.change(key, |state| {
                let now = state.now();
                state.deleted.push((key.clone(), now));
                state.objects.remove(key);
            })
        })
    }

    fn part_rules(&self) -> PartRules {
        let part_bytes = 32 * PIECE_ALIGN_BYTES;
        PartRules { part_bytes, parts_in_flight: 4, read_bytes: 4 << 20, objects_max: None }
    }

    fn abort_unfinished(&self, prefix: &str) -> Result<u64, StoreError> {
        self.enter();
        self.check_prefix(prefix)?;
        self.change(prefix, |state| {
            let before = state.unfinished.len();
            state.unfinished.retain(|_, key| !key.starts_with(prefix));
            (before - state.unfinished.len()) as u64
        })
    }
}

struct MemoryUpload {
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
    fn new(store: Arc<Memory>, number: u64, key: &str) -> Self {
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each operation leaves a consistent state.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
