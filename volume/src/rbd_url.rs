//! `rbd:POOL/IMAGE@SNAPSHOT?user=NAME`: the name of an RBD image on the command line and in a job.
//!
//! This module only parses the name. Another binary connects to Ceph.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// The characters that are escaped in an option's value.
const SEPARATORS: &AsciiSet = &CONTROLS.add(b'%').add(b'&');

/// An RBD image or snapshot, and how to connect to its cluster. Options that are not given have Ceph's defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RbdUrl {
    /// The pool.
    pub pool: String,
    /// The namespace in the pool.
    pub namespace: Option<String>,
    /// The image.
    pub image: String,
    /// The snapshot. `None` for the image itself.
    pub snapshot: Option<String>,
    /// The configuration file.
    pub conf: Option<String>,
    /// The user, without `client.`.
    pub user: Option<String>,
    /// The cluster's name.
    pub cluster: Option<String>,
    /// The file with the user's key.
    pub keyring: Option<String>,
}

/// The error for a text that is not such a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} {what}: write rbd:POOL/IMAGE, rbd:POOL/IMAGE@SNAPSHOT or rbd:POOL/NAMESPACE/IMAGE, optionally followed by ?user=NAME&conf=FILE&keyring=FILE&cluster=NAME"
)]
pub struct BadRbdUrl {
    text: String,
    what: &'static str,
}

impl RbdUrl {
    /// The prefix of every image's name.
    pub const SCHEME: &str = "rbd:";

    /// The name without options: `rbd:POOL/IMAGE@SNAPSHOT`.
    pub fn name(&self) -> String {
        let namespace = self.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        let snapshot = self.snapshot.as_ref().map(|snapshot| format!("@{snapshot}")).unwrap_or_default();
        format!("rbd:{}/{namespace}{}{snapshot}", self.pool, self.image)
    }

    fn options(&self) -> [(&'static str, &Option<String>); 4] {
        [("conf", &self.conf), ("user", &self.user), ("cluster", &self.cluster), ("keyring", &self.keyring)]
    }

    fn set(&mut self, option: &str) -> Result<(), &'static str> {
        let (key, value) = option.split_once('=').ok_or("has an option without a value")?;
        let place = match key {
            "conf" => &mut self.conf,
            "user" => &mut self.user,
            "cluster" => &mut self.cluster,
            "keyring" => &mut self.keyring,
            _ => return Err("has an unknown option"),
        };
        if value.is_empty() || place.is_some() {
            return Err("has an empty or repeated option");
        }
        let value = percent_decode_str(value).decode_utf8().map_err(|_| "has an option that is not UTF-8")?;
        *place = Some(value.into_owned());
        Ok(())
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let rest = text.strip_prefix(Self::SCHEME).ok_or("is not an RBD image")?;
        let (name, options) = rest.split_once('?').map_or((rest, None), |(name, options)| (name, Some(options)));
        let (path, snapshot) = name.split_once('@').map_or((name, None), |(path, snapshot)| (path, Some(snapshot)));
        let (pool, namespace, image) = match path.split('/').collect::<Vec<_>>()[..] {
            [pool, image] => (pool, None, image),
            [pool, namespace, image] => (pool, Some(namespace), image),
            _ => return Err("does not name a pool and an image"),
        };
        let names = [Some(pool), namespace, Some(image), snapshot];
        if names.iter().flatten().any(|name| name.is_empty() || name.contains(['@', '\0', '\n'])) {
            return Err("has an empty or invalid name");
        }
        let owned = |name: Option<&str>| name.map(str::to_owned);
        let (namespace, snapshot) = (owned(namespace), owned(snapshot));
        let mut url = Self { pool: pool.into(), namespace, image: image.into(), snapshot, ..Self::default() };
        options.iter().flat_map(|options| options.split('&')).try_for_each(|option| url.set(option))?;
        Ok(url)
    }
}

impl fmt::Display for RbdUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        let given = self.options().into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        for (place, (key, value)) in given.enumerate() {
            let value = utf8_percent_encode(value, SEPARATORS);
            write!(f, "{}{key}={value}", if place == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

impl FromStr for RbdUrl {
    type Err = BadRbdUrl;

    fn from_str(text: &str) -> Result<Self, BadRbdUrl> {
        Self::parse(text).map_err(|what| BadRbdUrl { text: text.to_owned(), what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_and_written_as_it_stands() {
        for text in [
            "rbd:rbd/disk",
            "rbd:volumes/volume-1@monday",
            "rbd:volumes/tenant/volume-1",
            "rbd:rbd/disk?conf=/etc/ceph/b.conf&user=backup",
            "rbd:rbd/disk@s?user=backup&cluster=b&keyring=/root/k",
        ] {
            assert_eq!(text.parse::<RbdUrl>().unwrap().to_string(), text);
        }
        let conf = Some("/a&b 100%/\u{e4}.conf".to_owned());
        let url = RbdUrl { pool: "p".into(), image: "i".into(), conf, ..RbdUrl::default() };
        assert_eq!(url.to_string().parse::<RbdUrl>().unwrap(), url);
        let url: RbdUrl = "rbd:p/n/i@s?user=u".parse().unwrap();
        assert_eq!((url.name().as_str(), url.user.as_deref()), ("rbd:p/n/i@s", Some("u")));
    }

    #[test]
    fn what_can_t_be_meant_is_refused_in_one_line() {
        for text in [
            "",
            "rbd:",
            "rbd:disk",
            "rbd:/disk",
            "rbd:p/",
            "rbd:p/i@",
            "rbd:a/b/c/d",
            "rbd:p/i@s@t",
            "rbd:p/i?",
            "rbd:p/i?user",
            "rbd:p/i?user=",
            "rbd:p/i?key=secret",
            "rbd:p/i?user=a&user=b",
            "/dev/rbd0",
        ] {
            let error = text.parse::<RbdUrl>().unwrap_err().to_string();
            assert!(error.contains("rbd:POOL/IMAGE") && !error.contains('\n'), "{error}");
        }
    }
}
