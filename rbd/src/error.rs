//! Errors of Ceph, in one line each: what was attempted, the cause, and what to do.

use septet_ipc::Failure;
use septet_volume::VolumeError;

use crate::rados::Errno;

impl Errno {
    /// The cause as text, with Ceph's meaning of the error number.
    pub(crate) fn words(self) -> String {
        match self {
            Self::TIMEDOUT => {
                let hint =
                    "a daemon may be down, or the cluster full: see `ceph health detail`; --timeout sets the limit";
                format!("Ceph has not answered in time ({hint})")
            }
            Self::SHUTDOWN => "the cluster has blocklisted this client: see `ceph osd blocklist ls`".to_owned(),
            Self::ROFS | Self::BUSY => "another client holds its lock: see `rbd lock ls` and `rbd status`".to_owned(),
            Self::NOSPC => "the cluster is full: see `ceph health detail`".to_owned(),
            Self::DQUOT => "the pool's quota is used up: see `ceph osd pool get-quota`".to_owned(),
            Self::PERM | Self::ACCESS => {
                "permission denied: see `ceph auth get`; the user needs the profile rbd for mon and osd".to_owned()
            }
            Self(number) => {
                let text = std::io::Error::from_raw_os_error(number).to_string();
                text.split(" (os error").next().unwrap_or(&text).to_lowercase()
            }
        }
    }

    /// A failure at `volume`.
    pub(crate) fn at(self, volume: &str, action: &str) -> Failure {
        Failure::volume(format!("{volume}: cannot {action}: {}", self.words()))
    }

    /// The same for the traits of volumes.
    pub(crate) fn io(self, volume: &str, action: &'static str) -> VolumeError {
        match self {
            Self::NOSPC | Self::DQUOT => VolumeError::NoSpace { volume: volume.to_owned(), reason: self.words() },
            _ => VolumeError::Io { volume: volume.to_owned(), action, reason: self.words() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_words_without_a_number() {
        for errno in (1..134).map(Errno) {
            let words = errno.words();
            assert!(!words.contains("os error") && !words.contains('\n') && !words.is_empty(), "{words}");
        }
        assert_eq!(Errno(5).at("rbd:p/i", "read it").cause, "rbd:p/i: cannot read it: input/output error");
    }
}
