//! Sends every request to one bucket of one server. Failed requests are retried with exponential, random back-off while
//! that may help.
//!
//! The time limit counts only time without progress, so a large part on a slow line is not a failure. A call blocks the
//! agent's thread, and this thread serves the connection ([`lanes`](super::lanes)).

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Credentials;
use tokio::time::timeout;

use super::body::Progress;
use super::check::Check;
use super::client;
use super::fault::{Failed, Fault, Retry};
use super::lanes::Lanes;
use super::url::Location;
use crate::count::Counter;
use crate::{StoreError, StoreErrorKind, check_key, check_prefix};

/// The first and the longest back-off.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long requests to a server that never answered are retried. Short, so that a wrong address is reported soon.
const UNREACHED_LIMIT: Duration = Duration::from_secs(4);
/// How many attempts are made if a server suddenly rejects our signature.
const DISBELIEF_MAX: u32 = 3;

/// A bucket, with everything that requests to it share.
pub(super) struct Server {
    pub(super) location: Location,
    pub(super) client: Client,
    pub(super) endpoint: String,
    pub(super) tls: bool,
    /// The check of request bodies, once it is known.
    pub(super) check: OnceLock<Check>,
    /// Whether reading ahead found no note. Then the note need not be read again.
    pub(super) has_no_note: AtomicBool,
    /// Held while a thread finds out the check, because the probes of two threads would remove each other.
    pub(super) finds_check: Mutex<()>,
    /// The check that has been found and is not yet in the note.
    pub(super) owed_note: Mutex<Option<Check>>,
    pub(super) counter: Counter,
    lanes: Lanes,
    reached: AtomicBool,
    believed: AtomicBool,
}

impl Server {
    /// Prepares everything. Sends no request.
    pub(super) fn new(location: Location, credentials: Option<Credentials>) -> Result<Self, StoreError> {
        let failed = |why: String| StoreError::explained(StoreErrorKind::Other, &location.url, "", "open", why);
        let lanes = Lanes::new(location.requests_max());
        let connected = lanes.run(async || client::connect(&location, credentials).await);
        let client = connected.map_err(|error| failed(no_runtime(&error)))?.map_err(failed)?;
        Ok(Self {
            client: client.s3,
            endpoint: client.endpoint,
            tls: client.tls,
            check: OnceLock::new(),
            has_no_note: AtomicBool::new(false),
            finds_check: Mutex::default(),
            owed_note: Mutex::default(),
            counter: Counter::default(),
            lanes,
            reached: AtomicBool::new(false),
            believed: AtomicBool::new(false),
            location,
        })
    }

    /// The object's name in the bucket.
    pub(super) fn name(&self, key: &str, doing: &'static str) -> Result<String, StoreError> {
        check_key(key).map_err(|why| self.error(key, doing, Fault::new(StoreErrorKind::Other, Retry::Never, why)))?;
        Ok(format!("{}{key}", self.location.prefix))
    }

    /// The same for a prefix, which may be empty.
    pub(super) fn prefix(&self, prefix: &str, doing: &'static str) -> Result<String, StoreError> {
        check_prefix(prefix)
            .map_err(|why| self.error(prefix, doing, Fault::new(StoreErrorKind::Other, Retry::Never, why)))?;
        Ok(format!("{}{prefix}", self.location.prefix))
    }

    /// The error of a request that failed, which names what was tried.
    pub(super) fn failed(&self, failed: Failed) -> StoreError {
        let Failed { name, doing, fault } = failed;
        self.error(name.strip_prefix(&self.location.prefix).unwrap_or(&name), doing, fault)
    }

    /// The server's address, for messages.
    pub(super) fn at(&self) -> &str {
        if self.endpoint.is_empty() { "AWS" } else { &self.endpoint }
    }

    pub(super) fn error(&self, key: &str, doing: &'static str, fault: Fault) -> StoreError {
        let url = &self.location.url;
        match fault.kind {
            // Only what is read can be absent. Any other request that is answered so failed for another reason.
            StoreErrorKind::NotFound if doing != "read" => {
                let text = format!("the server {} answers 404: check the endpoint and the bucket", self.at());
                StoreError::explained(StoreErrorKind::Other, url, key, doing, text)
            }
            StoreErrorKind::NotFound | StoreErrorKind::AlreadyExists => {
                StoreError::new(fault.kind, url, key, doing, fault.text)
            }
            StoreErrorKind::Unavailable => {
                let text = format!(
                    "{} ({}): check that the server is healthy and reachable, then try again",
                    fault.text,
                    self.at()
                );
                StoreError::explained(fault.kind, url, key, doing, text)
            }
            kind => StoreError::explained(kind, url, key, doing, fault.text),
        }
    }

    /// Makes a request and retries it while that may help.
    pub(super) fn call<T>(&self, mut make: impl AsyncFnMut(Progress) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut failing_since = None;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let progress = Progress::new();
            let mut fault = match self.attempt(&mut make, &progress) {
                Ok(done) => return Ok(done),
                Err(fault) => fault,
            };
            fault.attempts = attempts;
            let since = *failing_since
                .get_or_insert_with(|| Instant::now().checked_sub(progress.idle()).unwrap_or_else(Instant::now));
            if !self.try_again(&fault, since) {
                if attempts > 1 && fault.retry != Retry::Never {
                    fault.text =
                        format!("{}, after {attempts} attempts in {} s", fault.text, since.elapsed().as_secs());
                }
                return Err(fault);
            }
            std::thread::sleep(pause(attempts));
        }
    }

    /// Makes a request once, without retries. For requests whose success is optional.
    pub(super) fn call_once<T>(&self, mut make: impl AsyncFnMut(Progress) -> Result<T, Fault>) -> Result<T, Fault> {
        self.attempt(&mut make, &Progress::new())
    }

    fn attempt<T>(
        &self,
        make: &mut impl AsyncFnMut(Progress) -> Result<T, Fault>,
        progress: &Progress,
    ) -> Result<T, Fault> {
        let result = self.lanes.run(async || {
            self.counter.request();
            // Waiting for a lane does not count as time without progress.
            progress.step();
            // Lets the runtime notice connections that the server has closed, so that they are not used.
            tokio::task::yield_now().await;
            watched(make(progress.clone()), progress, self.location.stall_limit()).await
        });
        let result = result.map_err(|error| Fault::transient(no_runtime(&error)))?;
        match &result {
            Ok(_) => {
                self.reached.store(true, Ordering::Relaxed);
                self.believed.store(true, Ordering::Relaxed);
            }
            Err(fault) if fault.status != 0 => self.reached.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
        result
    }

    fn try_again(&self, fault: &Fault, since: Instant) -> bool {
        let limit = self.location.time_limit;
        match fault.retry {
            Retry::Never => false,
            Retry::Later => since.elapsed() < limit,
            Retry::Unreached if self.reached.load(Ordering::Relaxed) => since.elapsed() < limit,
            Retry::Unreached => since.elapsed() < limit.min(UNREACHED_LIMIT),
            Retry::IfBelieved => self.believed.load(Ordering::Relaxed) && fault.attempts < DISBELIEF_MAX,
        }
    }
}

fn no_runtime(error: &std::io::Error) -> String {
    format!("cannot create a runtime for connections: {error}")
}

/// Ends a request that makes no progress.
async fn watched<T>(
    request: impl Future<Output = Result<T, Fault>>,
    progress: &Progress,
    stall_limit: Duration,
) -> Result<T, Fault> {
    let mut request = pin!(request);
    loop {
        match timeout(stall_limit / 4, request.as_mut()).await {
            Ok(done) => return done,
            Err(_) if progress.idle() >= stall_limit => {
                return Err(Fault::transient(format!("no progress for {} s", stall_limit.as_secs_f32())));
            }
            Err(_) => {}
        }
    }
}

/// The back-off doubles with each attempt. It is random, so that many clients do not retry at the same moment.
fn pause(attempts: u32) -> Duration {
    let full = PAUSE_MIN.saturating_mul(1 << attempts.min(16)).min(PAUSE_MAX);
    full.mul_f64(0.25 + 0.75 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_differ() {
        assert!(pause(1) <= PAUSE_MIN * 2 && pause(1) >= PAUSE_MIN / 2);
        assert!((1..200).all(|attempts| pause(attempts) <= PAUSE_MAX));
        assert!(pause(100) > PAUSE_MAX / 5 && (0..20).any(|_| pause(100) != pause(100)));
    }
}
