//! Parses `s3://bucket/prefix?option=value`: the repository's place in S3, and how to use the server.
//!
//! The URL is passed to other processes and appears in messages and errors. So it must not hold credentials.

use std::time::Duration;

use super::check::Check;
use crate::given_by::GivenBy;

/// The requested check, which protects uploads against bits flipped in transit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Wish {
    /// The cheapest check that the server supports. Over plain HTTP, never `None`.
    #[default]
    Cheapest,
    /// A CRC. An error if the server supports none.
    Crc,
    /// Content-MD5.
    Md5,
    /// No check.
    None,
}

/// A parsed URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) bucket: String,
    /// Empty, or ends in a slash.
    pub(super) prefix: String,
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    pub(super) path_style: Option<bool>,
    pub(super) wish: Wish,
    /// The check that the server supports, as found by another process.
    pub(super) known: Option<Check>,
    pub(super) time_limit: Duration,
    pub(super) part_bytes: usize,
    /// The maximum number of concurrent requests, if the URL sets one.
    pub(super) connections: Option<usize>,
    /// The given URL without the option `known-check`.
    pub(super) url: String,
}

/// How long a failed request is retried. An agent may spend 120 s on one command, and a command can take two requests.
const TIME_LIMIT: Duration = Duration::from_secs(40);

/// Parts stay in memory while they are uploaded. Many connections with small parts hide as much latency as few with
/// large parts, in a third of the memory.
const PART_BYTES: usize = 8 << 20;
/// At 50 ms an answer and 100 MB/s a connection, this many connections reach 88 % of the rate of eight `curl` processes
/// (up) and 94 % (down).
const CONNECTIONS: usize = 14;
/// The largest `connections` that a URL may set.
const CONNECTIONS_MAX: usize = 64;
/// The maximum number of concurrent requests if the URL sets none. Small requests take little memory, so there may be
/// more of them than of parts. This number lists 1,000 volumes in 20 round trips.
const REQUESTS_MAX: usize = 128;

/// The option that passes a check from one process to another.
const KNOWN_CHECK: &str = "known-check";

const OPTIONS: &str =
    "the options are endpoint, region, path-style, upload-check, part-size, connections and time-limit";

impl Location {
    /// Parses a URL. The error says what is wrong, and never repeats a possible secret.
    pub(super) fn parse(url: &str, by: GivenBy) -> Result<Self, String> {
        let rest = url.strip_prefix("s3://").ok_or("it does not begin with s3://")?;
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.contains(['@', ':']) {
            return Err("a URL must not hold credentials: use the environment or a profile".to_owned());
        }
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if bucket.is_empty() || !bucket.bytes().all(good) {
            return Err("it names no bucket: write s3://BUCKET/PREFIX".to_owned());
        }
        let prefix = match prefix.trim_end_matches('/') {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        crate::check_prefix(&prefix)?;
        let mut location = Self {
            bucket: bucket.to_owned(),
            prefix,
            endpoint: None,
            region: None,
            path_style: None,
            wish: Wish::default(),
            known: None,
            time_limit: TIME_LIMIT,
            part_bytes: PART_BYTES,
            connections: None,
            url: url.to_owned(),
        };
        options.split('&').filter(|option| !option.is_empty()).try_for_each(|option| location.set(option, by))?;
        if location.known.is_some() {
            location.url = without_option(url, KNOWN_CHECK);
        }
        Ok(location)
    }

    /// The maximum number of concurrent uploads of parts.
    pub(super) fn parts_in_flight(&self) -> usize {
        self.connections.unwrap_or(CONNECTIONS)
    }

    /// The maximum number of concurrent requests, including parts.
    pub(super) fn requests_max(&self) -> usize {
        self.connections.unwrap_or(REQUESTS_MAX)
    }

    /// The URL for another process, which then need not find out which check the server supports. As a user's URL it is
    /// refused.
    pub(super) fn url_with(&self, check: Check) -> String {
        let sign = if self.url.contains('?') { '&' } else { '?' };
        format!("{}{sign}{KNOWN_CHECK}={}", self.url, check.name())
    }

    fn set(&mut self, option: &str, by: GivenBy) -> Result<(), String> {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        match name {
            "endpoint" => self.endpoint = Some(endpoint(value)?),
            "region" => self.region = Some(value.to_owned()),
            "path-style" => self.path_style = Some(flag(value).ok_or("path-style is true or false")?),
            "upload-check" => self.wish = wish(value).ok_or("upload-check is crc, md5 or none")?,
            KNOWN_CHECK if by == GivenBy::Supervisor => {
                self.known = Some(Check::from_name(value).ok_or("there is no such check")?);
            }
            "part-size" => {
                let mib = value.parse().ok().filter(|mib| (5..=1024).contains(mib));
                let mib: usize = mib.ok_or("part-size is a number of MiB, from 5 to 1024")?;
                self.part_bytes = mib << 20;
            }
            "connections" => {
                let connections = value.parse().ok().filter(|connections| (1..=CONNECTIONS_MAX).contains(connections));
                self.connections = Some(connections.ok_or("connections is a number from 1 to 64")?);
            }
            "time-limit" => {
                let seconds = value.parse().ok().filter(|&seconds| seconds > 0);
                self.time_limit = Duration::from_secs(seconds.ok_or("time-limit is a number of seconds")?);
            }
            _ => return Err(format!("there is no option {name:?}: {OPTIONS}")),
        }
        Ok(())
    }

    /// How long a connection may make no progress.
    pub(super) fn stall_limit(&self) -> Duration {
        self.time_limit / 3
    }
}

/// Checks an endpoint. It is a URL and must not hold credentials either.
pub(super) fn endpoint(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match host {
        Some(host) if host.contains('@') => {
            Err("an endpoint must not hold credentials: use the environment or a profile".to_owned())
        }
        Some(host) if !host.is_empty() => Ok(text.to_owned()),
        _ => Err("an endpoint is http://HOST or https://HOST, optionally with a port".to_owned()),
    }
}

fn without_option(url: &str, name: &str) -> String {
    let (place, options) = url.split_once('?').unwrap_or((url, ""));
    let is_other = |option: &&str| option.split_once('=').map_or(*option, |(name, _)| name) != name;
    let others: Vec<_> = options.split('&').filter(is_other).collect();
    if others.is_empty() { place.to_owned() } else { format!("{place}?{}", others.join("&")) }
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "true" | "1" | "yes" | "" => Some(true),
        "false" | "0" | "no" => Some(false),
        _ => None,
    }
}

fn wish(text: &str) -> Option<Wish> {
    match text {
        "crc" => Some(Wish::Crc),
        "md5" => Some(Wish::Md5),
        "none" => Some(Wish::None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Location, String> {
        Location::parse(url, GivenBy::User)
    }

    #[test]
    fn bucket_prefix_and_options_are_told_apart() {
        let location = parse("s3://b-1/a/b/?path-style=false&region=x&upload-check=md5&time-limit=7").unwrap();
        assert_eq!((location.bucket.as_str(), location.prefix.as_str()), ("b-1", "a/b/"));
        assert_eq!((location.path_style, location.region.as_deref()), (Some(false), Some("x")));
        assert_eq!((location.wish, location.time_limit.as_secs()), (Wish::Md5, 7));
        for url in ["s3://b", "s3://b/"] {
            assert_eq!(parse(url).unwrap().prefix, "", "{url}");
        }
        let location = parse("s3://b?endpoint=http://h:1/x&path-style").unwrap();
        assert_eq!((location.endpoint.as_deref(), location.path_style), (Some("http://h:1/x"), Some(true)));
    }

    #[test]
    fn a_check_is_handed_on_and_never_shown() {
        for url in ["s3://b/p", "s3://b/p?region=x", "s3://b/p?upload-check=crc"] {
            let given = parse(url).unwrap();
            let handed_on = Location::parse(&given.url_with(Check::Crc32C), GivenBy::Supervisor).unwrap();
            assert_eq!(handed_on, Location { known: Some(Check::Crc32C), ..given });
            assert_eq!(handed_on.url, url);
        }
        assert!(Location::parse("s3://b?known-check=sha1", GivenBy::Supervisor).is_err());
    }

    #[test]
    fn a_user_cannot_claim_a_check() {
        for url in ["s3://b?known-check=crc32c", "s3://b?upload-check=crc&known-check=none", "s3://b?known-check"] {
            let said = parse(url).unwrap_err();
            assert!(said.starts_with("there is no option \"known-check\""), "{said}");
        }
    }

    #[test]
    fn the_connections_that_are_asked_for_limit_parts_and_requests() {
        let limits = |url| parse(url).map(|location| (location.parts_in_flight(), location.requests_max())).unwrap();
        assert_eq!(limits("s3://b?connections=3"), (3, 3));
        assert_eq!(limits("s3://b"), (14, 128));
    }

    #[test]
    fn what_is_wrong_is_said_and_no_secret_repeated() {
        for url in [
            "s3://",
            "s3:///p",
            "s3://b?colour=red",
            "s3://b?time-limit=0",
            "s3://b?endpoint=h",
            "s3://b/a/../c",
            "s3://b?connections=0",
        ] {
            assert!(parse(url).is_err(), "{url}");
        }
        for url in ["s3://KEY:SECRET@b/p", "s3://b?endpoint=http://KEY:SECRET@h"] {
            let said = parse(url).unwrap_err();
            assert!(said.contains("credentials") && !said.contains("SECRET"), "{said}");
        }
    }
}
