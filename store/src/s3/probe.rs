//! Finds out which checksum of an upload this server really compares, by sending wrong ones. The result is stored in
//! the repository.
//!
//! Servers without support for CRCs silently accept a wrong one. So an object and a part with wrong checksums are sent
//! before the first real upload. Both are removed afterwards. If a run crashes before that, the next test removes them.
//! Until then no listing shows them, and a place that holds nothing else counts as empty.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::check::{CRCS, Check, Sum};
use super::fault::{Failed, Fault};
use super::own::{NOTE_KEY, PROBE_NAME, is_own};
use super::server::Server;
use super::upload::Begun;
use super::url::Wish;
use super::write::{Over, put_as};
use super::{abort, delete, list, read, upload};
use crate::{StoreError, StoreErrorKind, both};

/// How many times other hosts may remove our probe before we give up.
const SWEPT_MAX: u32 = 20;
/// A longer object is not our note.
const NOTE_BYTES_MAX: u64 = 4096;

impl Server {
    /// The check of request bodies: the one that the URL requests, otherwise the one that the server supports.
    pub(super) fn check(&self) -> Result<Check, StoreError> {
        if let Some(&check) = self.check.get() {
            return Ok(check);
        }
        let _alone = self.finds_check.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&check) = self.check.get() {
            return Ok(check);
        }
        let wish = self.location.wish;
        let check = match wish {
            Wish::None => Check::None,
            Wish::Md5 => Check::Md5,
            Wish::Cheapest | Wish::Crc => {
                let told = self.location.known.map(Ok);
                let known = told.unwrap_or_else(|| self.known().map_err(|failed| self.failed(failed)))?;
                choose(wish, known, self.tls).map_err(|why| {
                    StoreError::explained(StoreErrorKind::Other, &self.location.url, "", "write to", why)
                })?
            }
        };
        Ok(*self.check.get_or_init(|| check))
    }

    /// Returns a warning if only TLS protects uploads and the URL does not request that.
    pub(super) fn note_on_check(&self) -> Result<Option<String>, StoreError> {
        let unguarded = self.location.wish != Wish::None && self.check()? == Check::None;
        Ok(unguarded.then(|| {
            "the server checks no CRC: only TLS protects uploads (--upload-check md5 protects them too, at the cost of more CPU)"
                .to_owned()
        }))
    }

    /// Reads the note, so that [`check`](Self::check) need not. Does not probe the server if there is no note.
    pub(super) fn recall_check(&self) {
        let wish = self.location.wish;
        if !matches!(wish, Wish::Cheapest | Wish::Crc) || self.location.known.is_some() {
            return;
        }
        match self.noted(&self.note_name()) {
            Ok(Some(known)) => drop(choose(wish, known, self.tls).map(|check| self.check.set(check))),
            Ok(None) => self.has_no_note.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
    }

    fn note_name(&self) -> String {
        format!("{}{NOTE_KEY}", self.location.prefix)
    }

    /// The cheapest check that the server supports, from the note or by a probe.
    fn known(&self) -> Result<Check, Failed> {
        let name = self.note_name();
        // Each host that probes at the same time removes our probes once. A removed probe is repeated, unless another
        // host has stored its note by then.
        for attempt in 0..SWEPT_MAX {
            if !self.has_no_note.swap(false, Ordering::Relaxed)
                && let Some(check) = self.noted(&name).map_err(Failed::at(&name, "read"))?
            {
                return Ok(check);
            }
            match self.find_out(attempt == 0) {
                Err(failed) if failed.fault.code == "NoSuchUpload" => {}
                found => return found,
            }
        }
        self.find_out(false)
    }

    /// Tries each check until one works. If `sweeps` is true, also removes the probes of crashed runs. Each host does so
    /// only once, because it can't distinguish them from the running probes of other hosts.
    fn find_out(&self, mut sweeps: bool) -> Result<Check, Failed> {
        for check in CRCS.into_iter().chain([Check::Md5]) {
            let probe = self.probe(check, std::mem::take(&mut sweeps))?;
            let works = probe.refused_wrong_ones;
            probe.end(self)?;
            if works {
                return Ok(self.owe_note(check));
            }
        }
        Ok(self.owe_note(Check::None))
    }

    /// Has the note written together with the first object. It must not exist before the probe has been removed, because
    /// once there is a note, no run looks for old probes.
    fn owe_note(&self, check: Check) -> Check {
        *self.owed_note.lock().unwrap_or_else(PoisonError::into_inner) = Some(check);
        check
    }

    /// Calls `write`, and writes the note at the same time if that is still to be done.
    pub(super) fn with_note<T>(&self, write: impl FnOnce() -> T) -> Result<T, StoreError> {
        let owed = self.owed_note.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(check) = owed else { return Ok(write()) };
        let (noted, written) = both(|| self.write_note(check), write);
        noted.map_err(|failed| self.failed(failed))?;
        Ok(written)
    }

    fn noted(&self, name: &str) -> Result<Option<Check>, Fault> {
        match read::get_named(self, name, NOTE_BYTES_MAX) {
            Ok(body) => Ok(parse(&body, &self.endpoint)),
            // There is no object, or one that is too long to be our note.
            Err(fault) if matches!(fault.kind, StoreErrorKind::NotFound | StoreErrorKind::Damaged) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    fn write_note(&self, check: Check) -> Result<(), Failed> {
        let name = self.note_name();
        let body = Bytes::from(format!(
            "{{\"format\":1,\"endpoint\":\"{}\",\"upload_check\":\"{}\"}}\n",
            self.endpoint,
            check.name()
        ));
        let pieces = [body];
        put_as(self, &name, &pieces, &check.of(&pieces), Over::Any).map_err(Failed::at(&name, "write"))
    }

    /// Finds out whether the server refuses exactly those bodies that have a wrong checksum, for objects and for parts.
    fn probe(&self, check: Check, sweeps: bool) -> Result<Probe, Failed> {
        let name = format!("{}{PROBE_NAME}{:016x}", self.location.prefix, fastrand::u64(..));
        let mut probe = Probe { name, object: true, upload: None, refused_wrong_ones: false };
        match self.send(&mut probe, check, sweeps) {
            Ok(()) => Ok(probe),
            Err(failed) => {
                probe.discard(self);
                Err(failed)
            }
        }
    }

    /// Sends the requests of a probe, and records in `probe` what the server may have stored. Independent requests are
    /// sent at the same time, because the server may be far away.
    fn send(&self, probe: &mut Probe, check: Check, sweeps: bool) -> Result<(), Failed> {
        let name = probe.name.clone();
        let (body, other) = ([Bytes::from_static(b"right")], [Bytes::from_static(b"wrong")]);
        let (right, wrong) = (check.of(&body).into_probe(), check.of(&other).into_probe());
        let (swept, (object, begun)) = both(
            || if sweeps { self.sweep(&name) } else { Ok(()) },
            || {
                let object = || refused(put_as(self, &name, &body, &wrong, Over::Any));
                both(object, || upload::begin(self, &name, check))
            },
        );
        probe.object = !matches!(object, Ok(true));
        let begun = match begun {
            Ok(begun) => Ok(Some(&*probe.upload.insert(begun))),
            Err(fault) if is_refusal(&fault) => Ok(None),
            Err(fault) => Err(Failed::at(&name, "begin an upload of")(fault)),
        };
        swept?;
        let refused_object = object.map_err(Failed::at(&name, "write"))?;
        if let (true, Some(Begun { id, .. })) = (refused_object, begun?) {
            let send = |number, sum: &Sum| refused(upload::send_part(self, &name, id, number, &body, sum).map(drop));
            let (wrong, right) = both(|| send(0, &wrong), || send(1, &right));
            let part = |sent: Result<bool, Fault>| sent.map_err(Failed::at(&name, "upload a part of"));
            probe.refused_wrong_ones = part(wrong)? && !part(right)?;
        }
        Ok(())
    }

    /// Removes the probes of crashed runs.
    fn sweep(&self, own: &str) -> Result<(), Failed> {
        let begin = format!("{}{PROBE_NAME}", self.location.prefix);
        let (aborted, deleted) = both(|| abort::abort_all_but(self, &begin, own), || self.delete_probes(&begin, own));
        aborted.and(deleted)
    }

    fn delete_probes(&self, begin: &str, own: &str) -> Result<(), Failed> {
        let names = list::names(self, begin).map_err(Failed::at(begin, "list"))?;
        let is_probe = |name: &&String| *name != own && name.strip_prefix(&self.location.prefix).is_some_and(is_own);
        names
            .iter()
            .filter(is_probe)
            .try_for_each(|name| delete::delete_one(self, name).map_err(Failed::at(name, "delete")))
    }
}

/// A probe that was sent.
struct Probe {
    name: String,
    /// Whether the server may have stored the object.
    object: bool,
    /// The upload that was begun to test a part.
    upload: Option<Begun>,
    refused_wrong_ones: bool,
}

impl Probe {
    /// Removes what the server has stored.
    fn end(self, server: &Server) -> Result<(), Failed> {
        let deleted = if self.object { delete::delete_one(server, &self.name) } else { Ok(()) };
        let aborted = match &self.upload {
            Some(Begun { repeated: true, .. }) => abort::abort_all(server, &self.name).map(drop),
            Some(Begun { id, .. }) => match abort::abort(server, &self.name, id) {
                // Another host has aborted it already.
                Err(fault) if fault.is_of_no_upload() => Ok(()),
                aborted => aborted.map_err(Failed::at(&self.name, "abort the upload of")),
            },
            None => Ok(()),
        };
        deleted.map_err(Failed::at(&self.name, "delete")).and(aborted)
    }

    /// Does the same after a failure, without retries and without reporting errors. The next sweep removes what is left.
    fn discard(self, server: &Server) {
        if self.object {
            let _ = delete::delete_once(server, &self.name);
        }
        if let Some(Begun { id, .. }) = &self.upload {
            let _ = abort::abort_once(server, &self.name, id);
        }
    }
}

/// Whether the server refused the request because of its checksum. Expired credentials have the same status.
fn is_refusal(fault: &Fault) -> bool {
    (fault.status == 400 || fault.status == 501) && fault.kind != StoreErrorKind::PermissionDenied
}

/// Whether the server refused the body because of its checksum.
fn refused(sent: Result<(), Fault>) -> Result<bool, Fault> {
    match sent {
        Ok(()) => Ok(false),
        Err(fault) if is_refusal(&fault) => Ok(true),
        Err(fault) => Err(fault),
    }
}

/// Chooses the check from what the URL requests and what the server supports.
fn choose(wish: Wish, known: Check, tls: bool) -> Result<Check, String> {
    match (wish, known) {
        (Wish::Crc, Check::Md5 | Check::None) => {
            Err("this server does not check CRCs: use --upload-check md5".to_owned())
        }
        // An MD5 costs more than the rest of an upload. With TLS it is used only on request.
        (_, Check::Md5 | Check::None) if tls => Ok(Check::None),
        (_, Check::None) => Err("over plain HTTP a flipped bit would go unnoticed, because this server verifies no \
            checksums: use https, or --upload-check none to upload without a check"
            .to_owned()),
        (_, known) => Ok(known),
    }
}

/// The check that a note names, if it is about this endpoint.
fn parse(note: &[u8], endpoint: &str) -> Option<Check> {
    let text = std::str::from_utf8(note).ok()?;
    let field = |name: &str| text.split_once(&format!("\"{name}\":\""))?.1.split_once('"').map(|(value, _)| value);
    (field("endpoint")? == endpoint).then(|| Check::from_name(field("upload_check")?))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_holds_for_its_endpoint_only() {
        let note = br#"{"format":1,"endpoint":"http://h:1","upload_check":"crc32c"}"#;
        assert_eq!(parse(note, "http://h:1"), Some(Check::Crc32C));
        assert_eq!(parse(note, "http://h:2"), None);
        for note in [&b""[..], b"{", b"\xff", br#"{"endpoint":"","upload_check":"sha9"}"#] {
            assert_eq!(parse(note, ""), None);
        }
    }

    #[test]
    fn nothing_goes_unguarded_over_plain_http_unless_asked_for() {
        assert_eq!(choose(Wish::Cheapest, Check::Crc32, false), Ok(Check::Crc32));
        assert_eq!(choose(Wish::Cheapest, Check::Crc32, true), Ok(Check::Crc32));
        assert_eq!(choose(Wish::Cheapest, Check::Md5, false), Ok(Check::Md5));
        assert_eq!(choose(Wish::Cheapest, Check::Md5, true), Ok(Check::None));
        assert_eq!(choose(Wish::Cheapest, Check::None, true), Ok(Check::None));
        assert!(choose(Wish::Cheapest, Check::None, false).unwrap_err().contains("https"));
        assert!(choose(Wish::Crc, Check::Md5, true).unwrap_err().contains("md5"));
    }
}
