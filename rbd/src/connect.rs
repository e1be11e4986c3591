//! Opens the pool of an image. Follows Ceph's own rules: the configuration in its standard places, `CEPH_CONF`,
//! `CEPH_ARGS`. Options in the image's name take precedence.

use std::sync::Arc;

use septet_ipc::Failure;
use septet_volume::RbdUrl;

use crate::rados::{Cluster, Errno, Pool};

/// The environment variable in which the supervisor passes its time limit for a command, in seconds.
const TIMEOUT_VARIABLE: &str = "SEPTET_TIMEOUT_SECONDS";

/// Opens the pool that holds the image.
///
/// # Errors
/// If the cluster can't be reached, does not accept the user, or does not have the pool.
pub(crate) fn connect(url: &RbdUrl) -> Result<Arc<Pool>, Failure> {
    let arguments = Arguments::from_environment();
    let name = url.name();
    let failure = |what: String| Failure::volume(format!("{name}: {what}"));
    let user = url.user.clone().or(arguments.user).unwrap_or_else(|| "admin".to_owned());
    let client = if user.contains('.') { user } else { format!("client.{user}") };
    let cluster_name = url.cluster.clone().or(arguments.cluster).unwrap_or_else(|| "ceph".to_owned());
    let cluster = Cluster::new(&cluster_name, &client).map_err(|errno| errno.at(&name, "set up librados"))?;
    let conf = url.conf.clone().or(arguments.conf);
    cluster.read_conf(conf.as_deref()).map_err(|errno| {
        let which = conf.unwrap_or_else(|| format!("of the cluster {cluster_name}"));
        failure(format!("the Ceph configuration {which} can't be read: {}; give --ceph-conf FILE", errno.words()))
    })?;
    cluster.read_environment().map_err(|errno| errno.at(&name, "read the options in CEPH_ARGS"))?;
    let set = |option: &str, value: &str| {
        cluster.set(option, value).map_err(|errno| errno.at(&name, &format!("set {option} to {value}")))
    };
    if let Some(keyring) = &url.keyring {
        set("keyring", keyring)?;
    }
    let timeout = timeout_seconds();
    if let Some(seconds) = timeout {
        for option in ["client_mount_timeout", "rados_mon_op_timeout", "rados_osd_op_timeout"] {
            set(option, &seconds.to_string())?;
        }
    }
    cluster.connect().map_err(|errno| match errno {
        Errno::NOENT => failure(format!("no key of {client} was found: check --ceph-user and its keyring")),
        Errno::PERM | Errno::ACCESS => {
            failure(format!("the cluster rejects {client} with this key: check --ceph-user and its keyring"))
        }
        Errno::TIMEDOUT => failure(format!(
            "the monitors have not answered for {} s: check the network and that they run; --timeout sets the limit",
            timeout.unwrap_or(300)
        )),
        errno => errno.at(&name, "connect to the cluster"),
    })?;
    let cluster = Arc::new(cluster);
    let pool = Pool::open(&cluster, &url.pool, url.namespace.as_deref()).map_err(|errno| match errno {
        Errno::NOENT => failure(format!("there is no pool {}: see `ceph osd lspools`", url.pool)),
        errno => errno.at(&name, "open the pool"),
    })?;
    Ok(Arc::new(pool))
}

/// Half of the supervisor's time limit for a command. So Ceph's own error comes first, even if the command consists of
/// two operations: librbd takes the image's lock before it writes.
fn timeout_seconds() -> Option<u64> {
    let seconds: u64 = std::env::var(TIMEOUT_VARIABLE).ok()?.parse().ok()?;
    Some(seconds.div_ceil(2))
}

/// The options in `CEPH_ARGS` that are needed before a configuration is read. librados handles the others.
#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    user: Option<String>,
    conf: Option<String>,
    cluster: Option<String>,
}

impl Arguments {
    fn from_environment() -> Self {
        Self::parse(&std::env::var("CEPH_ARGS").unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let mut arguments = Self::default();
        let mut words = text.split_whitespace();
        while let Some(word) = words.next() {
            let (key, value) = word.split_once('=').map_or((word, None), |(key, value)| (key, Some(value)));
            let place = match key {
                "--id" | "--user" | "--name" | "-n" => &mut arguments.user,
                "--conf" | "-c" => &mut arguments.conf,
                "--cluster" => &mut arguments.cluster,
                _ => continue,
            };
            *place = value.or_else(|| words.next()).map(str::to_owned);
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ceph_args_says_of_user_and_conf_is_taken() {
        let of = |user: Option<&str>, conf: Option<&str>| Arguments {
            user: user.map(str::to_owned),
            conf: conf.map(str::to_owned),
            cluster: None,
        };
        for (text, arguments) in [
            ("", of(None, None)),
            ("--id backup", of(Some("backup"), None)),
            ("--id=backup -c /a.conf", of(Some("backup"), Some("/a.conf"))),
            ("--debug-ms 1 -n client.b --conf=/b.conf", of(Some("client.b"), Some("/b.conf"))),
            ("--id", of(None, None)),
        ] {
            assert_eq!(Arguments::parse(text), arguments, "{text}");
        }
    }
}
