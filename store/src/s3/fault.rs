//! Classifies failures of a server or connection: whether to retry, and what the user should do.

use std::error::Error;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::StoreErrorKind;

/// A request that failed.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) kind: StoreErrorKind,
    /// What happened, and what to do about it.
    pub(super) text: String,
    pub(super) retry: Retry,
    /// The server's error code, if it gave one.
    pub(super) code: String,
    pub(super) status: u16,
    /// How many attempts were made.
    pub(super) attempts: u32,
}

/// A fault, the name that it is about, and a verb for what was tried.
#[derive(Debug)]
pub(super) struct Failed {
    /// In the bucket, so with the repository's prefix.
    pub(super) name: String,
    pub(super) doing: &'static str,
    pub(super) fault: Fault,
}

impl Failed {
    /// Adds to a fault what was tried.
    pub(super) fn at(name: &str, doing: &'static str) -> impl FnOnce(Fault) -> Self {
        move |fault| Self { name: name.to_owned(), doing, fault }
    }
}

/// Whether a retry may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    Never,
    /// The connection failed. Retried only briefly if this server has never answered.
    Unreached,
    Later,
    /// The server rejects our signature although it accepted an earlier one: bits may have flipped in transit.
    IfBelieved,
}

impl Fault {
    pub(super) fn new(kind: StoreErrorKind, retry: Retry, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), retry, code: String::new(), status: 0, attempts: 0 }
    }

    /// For a probe, status 400 is the expected answer, so it is not retried.
    pub(super) fn of(error: impl Into<Self>, is_probe: bool) -> Self {
        let fault = error.into();
        if is_probe && fault.status == 400 { Self { retry: Retry::Never, ..fault } } else { fault }
    }

    /// A transient failure.
    pub(super) fn transient(text: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Unavailable, Retry::Later, text)
    }

    /// The server refused to delete one object of a batch.
    pub(super) fn refused(code: &str, said: &str) -> Self {
        answer(if code == "AccessDenied" { 403 } else { 0 }, code, said, "")
    }

    /// A response that contradicts itself or the request.
    pub(super) fn broken(server: &str, request: &str, why: &str) -> Self {
        let text = format!("the response of the server {server} to {request} is not valid: {why}");
        Self::new(StoreErrorKind::Other, Retry::Never, text)
    }

    /// Whether the upload that was to be aborted has already gone.
    pub(super) fn is_of_no_upload(&self) -> bool {
        self.code == "NoSuchUpload" || self.kind == StoreErrorKind::NotFound
    }

    /// The object is not as expected.
    pub(super) fn damaged(text: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Damaged, Retry::Never, text)
    }
}

impl<E: ProvideErrorMetadata + Error + 'static> From<SdkError<E, HttpResponse>> for Fault {
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let cause = error.source().map(root_cause).unwrap_or_default();
        match error {
            SdkError::ServiceError(context) => {
                let (code, said) =
                    (context.err().code().unwrap_or_default(), context.err().message().unwrap_or_default());
                let raw = context.raw();
                let region = raw.headers().get("x-amz-bucket-region").unwrap_or_default();
                answer(raw.status().as_u16(), code, said, region)
            }
            SdkError::ResponseError(context) => {
                let status = context.raw().status().as_u16();
                let mut fault = answer(status, "", "", "");
                if fault.retry == Retry::Never {
                    fault = Self::transient(format!("a response with status {status} that cannot be parsed ({cause})"));
                }
                Self { status, ..fault }
            }
            SdkError::TimeoutError(_) => Self::transient("no answer in time"),
            SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
                // The credentials chain reports its errors as connection errors. Only the text differs.
                Some(error) if chain(error).to_lowercase().contains("credentials") => unsent(&chain(error)),
                Some(error) => unreached(&root_cause(error)),
                None => unreached("the request could not be sent"),
            },
            error => unsent(&chain(&error)),
        }
    }
}

/// Classifies a server's error answer.
fn answer(status: u16, code: &str, said: &str, region: &str) -> Fault {
    use Retry::{IfBelieved, Later, Never};
    use StoreErrorKind::{AlreadyExists, Damaged, NoSpace, NotFound, Other, PermissionDenied, ReadOnly, Unavailable};
    let said_so = if said.is_empty() { String::new() } else { format!(" ({})", one_line(said)) };
    let (kind, retry, text) = match (code, status) {
        ("NoSuchBucket", _) => {
            (Other, Never, "there is no such bucket: create it, or check its name and the endpoint".to_owned())
        }
        ("NoSuchUpload", _) => {
            (Other, Never, "the upload does not exist any more: somebody else aborted it".to_owned())
        }
        ("InvalidAccessKeyId", _) => (
            PermissionDenied,
            Never,
            "the server does not know the access key: check AWS_ACCESS_KEY_ID or the profile".to_owned(),
        ),
        ("SignatureDoesNotMatch", _) => (
            PermissionDenied,
            IfBelieved,
            "the secret key does not match the access key: check AWS_SECRET_ACCESS_KEY or the profile".to_owned(),
        ),
        ("ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "InvalidToken", _) => (
            PermissionDenied,
            Never,
            "the credentials have expired or their session token is wrong: get new ones that last as long as the run"
                .to_owned(),
        ),
        ("RequestTimeTooSkewed" | "RequestExpired", _) => (
            Other,
            Never,
            "the clocks of this machine and of the server differ too much: set this machine's clock (timedatectl)"
                .to_owned(),
        ),
        ("PermanentRedirect" | "AuthorizationHeaderMalformed" | "TemporaryRedirect", _) | ("", 301 | 307 | 308) => {
            let region = if region.is_empty() { "the bucket's".to_owned() } else { region.to_owned() };
            (Other, Never, format!("the bucket is in another region{said_so}: set AWS_REGION to {region}"))
        }
        ("QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull" | "InsufficientCapacity", _) | (_, 507) => (
            NoSpace,
            Never,
            format!(
                "the bucket is full or over its quota{said_so}: delete old backups, have the quota raised or use another bucket"
            ),
        ),
        ("MethodNotAllowed" | "ReadOnly", _) => (ReadOnly, Never, format!("the bucket is read-only{said_so}")),
        ("NotImplemented", _) | (_, 501) => {
            (Other, Never, format!("the server does not support this request{said_so}"))
        }
        ("PreconditionFailed", _) | (_, 412) => (AlreadyExists, Never, "it exists already".to_owned()),
        ("NoSuchKey" | "NotFound", _) | ("", 404) => (NotFound, Never, "it does not exist".to_owned()),
        ("InvalidRange", _) | (_, 416) => (Damaged, Never, "it is too short".to_owned()),
        ("SlowDown" | "ServiceUnavailable" | "InternalError" | "RequestTimeout" | "OperationAborted", _)
        | ("ConditionalRequestConflict" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded", _)
        | (_, 408 | 429 | 500..) => {
            let code = if code.is_empty() { String::new() } else { format!(" {code}") };
            (Unavailable, Later, format!("the server answers {status}{code}{said_so}"))
        }
        ("BadDigest" | "IncompleteBody" | "XAmzContentChecksumMismatch" | "XAmzContentSHA256Mismatch", _) => {
            (Unavailable, Later, format!("the server received other bytes than were sent: {code}{said_so}"))
        }
        (_, 401 | 403) => (
            PermissionDenied,
            Never,
            format!(
                "the server denies access{said_so}: grant this key the rights to read, write, list and delete objects in the bucket, and to list and abort uploads"
            ),
        ),
        _ => {
            let code = if code.is_empty() { "no reason" } else { code };
            (Other, Never, format!("the server answers {status}, {code}{said_so}"))
        }
    };
    Fault { kind, text, retry, code: code.to_owned(), status, attempts: 0 }
}

/// The server could not be reached, or the connection broke.
fn unreached(cause: &str) -> Fault {
    let other = |text: String| Fault::new(StoreErrorKind::Other, Retry::Never, text);
    if cause.contains("certificate") {
        return other(format!(
            "the server's certificate is not trusted ({cause}): set AWS_CA_BUNDLE to the file of the CA that signed it, or correct the endpoint"
        ));
    }
    if cause.contains("corrupt message") || cause.contains("InvalidContentType") {
        return other(format!("the server does not speak TLS ({cause}): the endpoint may begin with http://"));
    }
    Fault::new(StoreErrorKind::Unavailable, Retry::Unreached, format!("the connection failed: {cause}"))
}

/// The request could not be built or signed, so nothing was sent.
fn unsent(cause: &str) -> Fault {
    let lower = cause.to_lowercase();
    let text = if lower.contains("credential") || lower.contains("identity") || lower.contains("provider") {
        format!("no credentials were found ({cause}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
    } else {
        format!("the request cannot be made: {cause}")
    };
    Fault::new(StoreErrorKind::Other, Retry::Never, text)
}

/// The text of the innermost error, which is the actual cause.
pub(super) fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = one_line(&cause.to_string());
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// The texts of an error and of its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(inner) = cause {
        texts.push(inner.to_string());
        cause = inner.source();
    }
    one_line(&texts.join(": "))
}

/// Puts a server's text on one line and limits its length.
pub(super) fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|letter| !letter.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_sorted_into_those_that_pass_and_those_that_do_not() {
        for (status, code) in [
            (500, "InternalError"),
            (503, "SlowDown"),
            (502, ""),
            (429, ""),
            (400, "BadDigest"),
            (400, "RequestTimeout"),
        ] {
            assert_eq!(answer(status, code, "", "").retry, Retry::Later, "{code}");
        }
        for (status, code, kind, word) in [
            (404, "NoSuchBucket", StoreErrorKind::Other, "no such bucket"),
            (404, "NoSuchKey", StoreErrorKind::NotFound, ""),
            (404, "", StoreErrorKind::NotFound, ""),
            (412, "PreconditionFailed", StoreErrorKind::AlreadyExists, ""),
            (403, "AccessDenied", StoreErrorKind::PermissionDenied, "grant this key the rights"),
            (403, "InvalidAccessKeyId", StoreErrorKind::PermissionDenied, "AWS_ACCESS_KEY_ID"),
            (400, "ExpiredToken", StoreErrorKind::PermissionDenied, "expired"),
            (403, "RequestTimeTooSkewed", StoreErrorKind::Other, "clocks"),
            (403, "QuotaExceeded", StoreErrorKind::NoSpace, "quota"),
            (507, "", StoreErrorKind::NoSpace, "quota"),
            (416, "InvalidRange", StoreErrorKind::Damaged, ""),
        ] {
            let fault = answer(status, code, "", "");
            assert_eq!((fault.kind, fault.retry), (kind, Retry::Never), "{code}");
            assert!(fault.text.contains(word), "{}", fault.text);
        }
        assert!(answer(301, "PermanentRedirect", "", "eu-west-3").text.ends_with("set AWS_REGION to eu-west-3"));
    }

    #[test]
    fn what_a_server_says_is_one_line_and_bounded() {
        let fault = answer(400, "Odd", &"a\n\x1b[31m b".repeat(1000), "");
        assert!(fault.text.len() < 300 && !fault.text.contains(['\n', '\x1b']), "{}", fault.text);
    }
}
