//! For tests: a store that answers each request after a delay, and a log that counts the requests that were made in
//! sequence.
//!
//! The time that a run spends on a distant server is the number of requests that wait for each other, times the delay.
//! Concurrent requests cost one delay together. The log computes the number from the times at which requests began and
//! ended. It is the length of the longest chain in which each request began after the previous one had ended. Because
//! of the delay, requests that do not wait for each other overlap. So the delay must be longer than a busy machine
//! needs to start them. Noise can only make the number larger.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use crate::{ObjectInfo, PartRules, Store, StoreError, Upload};

/// A request, with the times at which it began and ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Verb and key, such as `GET vol/b1/map`.
    pub what: String,
    /// When it began, counted from the creation of the log.
    pub began: Duration,
    /// When the answer was complete. `None` while the request is running.
    pub ended: Option<Duration>,
}

/// The requests that were made, by any number of threads or processes.
#[derive(Debug)]
pub struct RequestLog {
    epoch: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many requests were removed from the log by `take`.
    taken: usize,
    requests: Vec<Request>,
}

impl Default for RequestLog {
    fn default() -> Self {
        Self { epoch: Instant::now(), state: Mutex::default() }
    }
}

impl RequestLog {
    /// Records that a request begins. Returns the number to pass to [`end`](Self::end).
    pub fn begin(&self, what: String) -> usize {
        let mut state = self.lock();
        let began = self.epoch.elapsed();
        state.requests.push(Request { what, began, ended: None });
        state.taken + state.requests.len() - 1
    }

    /// Records that a request ends. A second call does nothing. Must be called before the client can see the end of the
    /// answer.
    pub fn end(&self, number: usize) {
        let mut state = self.lock();
        // The request is absent if `take` removed it while it was running.
        let place = number.checked_sub(state.taken);
        if let Some(request) = place.and_then(|place| state.requests.get_mut(place)) {
            request.ended.get_or_insert_with(|| self.epoch.elapsed());
        }
    }

    /// The requests since the last call.
    pub fn take(&self) -> Requests {
        let mut state = self.lock();
        state.taken += state.requests.len();
        Requests(std::mem::take(&mut state.requests))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each call leaves a consistent state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Requests, in the order in which they began.
#[derive(Clone, Debug)]
pub struct Requests(pub Vec<Request>);

impl Requests {
    /// How many requests there were.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The requests that began before the first one for which `is_it` is true. All, if there is none.
    pub fn before(&self, is_it: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().take_while(|request| !is_it(&request.what)).cloned().collect())
    }

    /// The longest chain in which each request began after the previous one had ended.
    pub fn in_sequence(&self) -> Vec<&Request> {
        let mut by_end: Vec<_> = self.0.iter().filter_map(|request| Some((request.ended?, request))).collect();
        by_end.sort_by_key(|(ended, _)| *ended);
        let mut chain: Vec<&Request> = Vec::new();
        let mut last_end = None;
        // Among the candidates for the next place, the one that ends first leaves the most time for later ones.
        for (ended, request) in by_end {
            if last_end.is_none_or(|last| request.began >= last) {
                chain.push(request);
                last_end = Some(ended);
            }
        }
        chain
    }
}

impl fmt::Display for Requests {
    /// All requests with their times. The requests of the longest chain are marked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chain = self.in_sequence();
        writeln!(f, "{} requests, {} in sequence (marked *), ms:", self.count(), chain.len())?;
        for request in &self.0 {
            let mark = if chain.iter().any(|one| std::ptr::eq(*one, request)) { '*' } else { ' ' };
            let ended = request.ended.map_or("…".to_owned(), |ended| ended.as_millis().to_string());
            writeln!(f, "{mark} {:>7} – {ended:>7}  {}", request.began.as_millis(), request.what)?;
        }
        Ok(())
    }
}

/// A store that delays each request and records it in a log.
pub struct Distant {
    store: Arc<dyn Store>,
    line: Arc<Line>,
}

struct Line {
    delay: Duration,
    log: RequestLog,
}

impl Line {
    fn request<T>(&self, what: String, request: impl FnOnce() -> T) -> T {
        let number = self.log.begin(what);
        std::thread::sleep(self.delay);
        let answer = request();
        self.log.end(number);
        answer
    }
}

impl Distant {
    /// Wraps `store` so that each request takes `delay`.
    pub fn new(store: Arc<dyn Store>, delay: Duration) -> Arc<Self> {
        Arc::new(Self { store, line: Arc::new(Line { delay, log: RequestLog::default() }) })
    }

    /// The requests that were made.
    pub fn log(&self) -> &RequestLog {
        &self.line.log
    }

    fn request<T>(&self, verb: &str, key: &str, request: impl FnOnce(&dyn Store) -> T) -> T {
        self.line.request(format!("{verb} {key}"), || request(&*self.store))
    }
}

/// How many keys a server accepts in one delete request.
const DELETED_AT_ONCE: usize = 1000;

impl Store for Distant {
    fn url(&self) -> String {
        self.store.url()
    }

    fn get(&self, key: &str, bytes_max: u64) -> Result<Vec<u8>, StoreError> {
        self.request("GET", key, |store| store.get(key, bytes_max))
    }

    fn read_at(&self, key: &str, offset_bytes: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        let what = format!("{key} from {offset_bytes}, {} bytes", buf.len());
        self.request("GET", &what, |store| store.read_at(key, offset_bytes, buf))
    }

    fn len(&self, key: &str) -> Result<u64, StoreError> {
        self.request("HEAD", key, |store| store.len(key))
    }

    fn put(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        self.request("PUT", key, |store| store.put(key, body))
    }

    fn put_if_absent(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        self.request("PUT if absent", key, |store| store.put_if_absent(key, body))
    }

    fn upload(&self, key: &str) -> Result<Box<dyn Upload>, StoreError> {
        let upload = self.request("POST begin", key, |store| store.upload(key))?;
        Ok(Box::new(DistantUpload { upload, key: key.to_owned(), line: Arc::clone(&self.line) }))
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        self.request("LIST", prefix, |store| store.list(prefix))
    }

    fn list_children(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.request("LIST children", prefix, |store| store.list_children(prefix))
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        self.request("LIST", "one", |store| store.is_empty())
    }

    fn now(&self) -> Result<Option<SystemTime>, StoreError> {
        self.request("LIST", "one, for its date", |store| store.now())
    }

    fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        keys.chunks(DELETED_AT_ONCE).try_for_each(|keys| {
            let what = format!("{} keys", keys.len());
            self.request("DELETE", &what, |store| store.delete(keys))
        })
    }

    fn note(&self) -> Result<Option<String>, StoreError> {
        self.store.note()
    }

    fn part_rules(&self) -> PartRules {
        self.store.part_rules()
    }

    fn abort_unfinished(&self, prefix: &str) -> Result<u64, StoreError> {
        self.request("LIST uploads", prefix, |store| store.abort_unfinished(prefix))
    }
}

struct DistantUpload {
    upload: Box<dyn Upload>,
    key: String,
    line: Arc<Line>,
}

impl Upload for DistantUpload {
    fn put_part(&self, number: u32, offset_bytes: u64, body: Vec<Bytes>) -> Result<(), StoreError> {
        let what = format!("PUT part {number} of {}", self.key);
        self.line.request(what, || self.upload.put_part(number, offset_bytes, body))
    }

    fn finish(&self) -> Result<(), StoreError> {
        self.line.request(format!("POST finish {}", self.key), || self.upload.finish())
    }

    fn abort(&self) {
        self.line.request(format!("DELETE upload {}", self.key), || self.upload.abort());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;
    use std::thread;

    const DELAY: Duration = Duration::from_millis(50);

    fn requests(spans: &[(u64, u64)]) -> Requests {
        let request = |&(began, ended)| {
            let (began, ended) = (Duration::from_millis(began), Some(Duration::from_millis(ended)));
            Request { what: String::new(), began, ended }
        };
        Requests(spans.iter().map(request).collect())
    }

    #[test]
    fn it_is_a_store() {
        let count = std::sync::atomic::AtomicU32::new(0);
        crate::conformance::run(|| {
            let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Distant::new(Memory::new(&format!("distant-{number}")), Duration::ZERO)
        });
    }

    #[test]
    fn the_longest_chain_is_found() {
        for (spans, expected) in [
            (&[][..], 0),
            (&[(0, 10)], 1),
            (&[(0, 10), (1, 11), (2, 12)], 1),
            (&[(0, 10), (10, 20), (20, 30)], 3),
            // Two chains at the same time: short requests while a long one is running.
            (&[(0, 10), (0, 35), (10, 20), (20, 30), (36, 40)], 4),
        ] {
            assert_eq!(requests(spans).in_sequence().len(), expected, "{spans:?}");
        }
    }

    #[test]
    fn a_serial_loop_shows_and_requests_at_the_same_time_count_once() {
        let store = Distant::new(Memory::new("distant"), DELAY);
        for number in 0..8 {
            store.put(&format!("object-{number}"), Bytes::from_static(b"x")).unwrap();
        }
        let serial = store.log().take();
        assert_eq!((serial.count(), serial.in_sequence().len()), (8, 8), "{serial}");
        let least = (0..5).map(|_| {
            thread::scope(|scope| {
                for number in 0..8 {
                    let store = &store;
                    scope.spawn(move || store.get(&format!("object-{number}"), 1).unwrap());
                }
            });
            let parallel = store.log().take();
            assert_eq!(parallel.count(), 8, "{parallel}");
            parallel.in_sequence().len()
        });
        // A busy machine may start a thread late.
        assert_eq!(least.min(), Some(1));
        assert_eq!(store.log().take().count(), 0);
    }

    #[test]
    fn what_comes_before_something_can_be_looked_at_alone() {
        let store = Distant::new(Memory::new("distant-before"), Duration::ZERO);
        for key in ["manifest", "map", "segment", "map"] {
            store.put(key, Bytes::new()).unwrap();
        }
        let all = store.log().take();
        assert_eq!(all.before(|what| what.ends_with("segment")).count(), 2);
        assert_eq!(all.before(|what| what.ends_with("nothing")).count(), 4);
        assert!(all.to_string().contains("4 requests, 4 in sequence"), "{all}");
    }
}
