//! Finds out which checksum of an upload this server really compares, by sending wrong ones. The result is stored in
//! the repository.
//!
//! Servers without support for CRCs silently accept a wrong one. So an object and a part with wrong checksums are sent
//! before the first real upload. Both are removed afterwards.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::check::{CRCS, Check, Sum};
use super::fault::Fault;
use super::server::Server;
use super::upload::Begun;
use super::url::Wish;
use super::write::{Over, put_as};
use super::{abort, delete, upload};
use crate::{StoreError, StoreErrorKind, both};

/// The key of the note that holds the result.
pub(super) const NOTE_KEY: &str = "s3.json";
/// The prefix of the probes' names.
const PROBE_NAME: &str = "septet-probe-";
/// How many times other hosts may remove our probe before we give up.
const SWEPT_MAX: u32 = 20;
/// The longest note. The rest of a longer object is ignored.
const NOTE_BYTES_MAX: usize = 4096;

impl Server {
    /// The check of request bodies: the one that the URL requests, otherwise the one that the server supports.
    pub(super) fn check(&self) -> Result<Check, StoreError> {
        if let Some(&check) = self.check.get() {
            return Ok(check);
        }
        let wish = self.location.wish;
        let check = match wish {
            Wish::None => Check::None,
            Wish::Md5 => Check::Md5,
            Wish::Known(check) => check,
            Wish::Cheapest | Wish::Crc => {
                let known = self.known().map_err(|fault| self.error(NOTE_KEY, "read", fault))?;
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
        if !matches!(wish, Wish::Cheapest | Wish::Crc) {
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
    fn known(&self) -> Result<Check, Fault> {
        let name = self.note_name();
        // Each host that probes at the same time removes our probes once. A removed probe is repeated, unless another
        // host has stored its note by then.
        for attempt in 0..SWEPT_MAX {
            if !self.has_no_note.swap(false, Ordering::Relaxed)
                && let Some(check) = self.noted(&name)?
            {
                return Ok(check);
            }
            match self.find_out(&name, attempt == 0) {
                Err(fault) if fault.code == "NoSuchUpload" => {}
                found => return found,
            }
        }
        self.find_out(&name, false)
    }

    /// Tries each check until one works, and stores the result in the note. If `sweeps` is true, also aborts the probes
    /// of crashed runs. Each host does so only once, because it can't distinguish them from the running probes of other
    /// hosts.
    fn find_out(&self, note_name: &str, mut sweeps: bool) -> Result<Check, Fault> {
        for check in CRCS.into_iter().chain([Check::Md5]) {
            let probe = self.probe(check, std::mem::take(&mut sweeps))?;
            if probe.refused_wrong_ones {
                let (noted, ended) = both(|| self.note(note_name, check), || probe.end(self));
                return ended.and(noted);
            }
            probe.end(self)?;
        }
        self.note(note_name, Check::None)
    }

    fn noted(&self, name: &str) -> Result<Option<Check>, Fault> {
        let body = self.call(async |_| {
            let output = self.client.get_object().bucket(&self.location.bucket).key(name).send().await?;
            output.body.collect().await.map_err(|error| Fault::transient(error.to_string()))
        });
        match body {
            Ok(body) => Ok(parse(&body.into_bytes(), &self.endpoint)),
            Err(fault) if fault.kind == StoreErrorKind::NotFound => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    fn note(&self, name: &str, check: Check) -> Result<Check, Fault> {
        let body = Bytes::from(format!(
            "{{\"format\":1,\"endpoint\":\"{}\",\"upload_check\":\"{}\"}}\n",
            self.endpoint,
            check.name()
        ));
        let pieces = [body];
        put_as(self, name, &pieces, &check.of(&pieces), Over::Any)?;
        Ok(check)
    }

    /// Finds out whether the server refuses exactly those bodies that have a wrong checksum, for objects and for parts.
    /// Independent requests are sent at the same time, because the server may be far away.
    fn probe(&self, check: Check, sweeps: bool) -> Result<Probe, Fault> {
        let name = format!("{}{PROBE_NAME}{:016x}", self.location.prefix, fastrand::u64(..));
        let (body, other) = ([Bytes::from_static(b"right")], [Bytes::from_static(b"wrong")]);
        let (right, wrong) = (check.of(&body).into_probe(), check.of(&other).into_probe());
        let (swept, (object, begun)) = both(
            || if sweeps { self.sweep(&name) } else { Ok(()) },
            || {
                let object = || refused(put_as(self, &name, &body, &wrong, Over::Any));
                both(object, || upload::begin(self, &name, check))
            },
        );
        swept?;
        let upload = match begun {
            Ok(begun) => Some(begun),
            Err(fault) if fault.status == 400 || fault.status == 501 => None,
            Err(fault) => return Err(fault),
        };
        let mut probe = Probe { name, object: !object?, upload, refused_wrong_ones: false };
        if let (false, Some(Begun { id, .. })) = (probe.object, &probe.upload) {
            let send =
                |number, sum: &Sum| refused(upload::send_part(self, &probe.name, id, number, &body, sum).map(drop));
            let (wrong, right) = both(|| send(0, &wrong), || send(1, &right));
            probe.refused_wrong_ones = wrong? && !right?;
        }
        Ok(probe)
    }

    /// Aborts the probes of crashed runs.
    fn sweep(&self, own: &str) -> Result<(), Fault> {
        abort::abort_all_but(self, &format!("{}{PROBE_NAME}", self.location.prefix), own).map(drop)
    }
}

/// A probe that was sent.
struct Probe {
    name: String,
    /// Whether the server has stored the object.
    object: bool,
    /// The upload that was begun to test a part.
    upload: Option<Begun>,
    refused_wrong_ones: bool,
}

impl Probe {
    /// Removes what the server has stored.
    fn end(self, server: &Server) -> Result<(), Fault> {
        if self.object {
            delete::delete_one(server, &self.name)?;
        }
        let aborted = match self.upload {
            Some(Begun { repeated: true, .. }) => abort::abort_all(server, &self.name).map(drop),
            Some(Begun { id, .. }) => abort::abort(server, &self.name, &id),
            None => Ok(()),
        };
        match aborted {
            // Another host has aborted it already.
            Err(fault) if fault.code == "NoSuchUpload" => Ok(()),
            aborted => aborted,
        }
    }
}

/// Whether the server refused the body because of its checksum.
fn refused(sent: Result<(), Fault>) -> Result<bool, Fault> {
    match sent {
        Ok(()) => Ok(false),
        Err(fault) if fault.status == 400 || fault.status == 501 => Ok(true),
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
    let text = std::str::from_utf8(note.get(..NOTE_BYTES_MAX).unwrap_or(note)).ok()?;
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
