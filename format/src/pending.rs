//! A marker, `pending-0.json`. It says that a backup is unfinished, which process makes it, and on which parent. A run
//! that resumes the backup of a dead run adds a marker of its own, `pending-1.json` and so on.
//!
//! A marker is written before all other objects of its attempt and removed after all others. While it exists, garbage
//! collection keeps the parent's segments and everything that the backup has written so far, unless the process that
//! wrote the marker is known to be gone.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Result;
use crate::{BackupId, JSON_BYTES_MAX, Process, Source, VolumeName, json, keys};

const WHAT: &str = "marker";

/// Which process makes a backup, of which source, and on which parent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// The format of the backup.
    pub format: u32,
    /// The repository that contains the marker.
    pub repository: Uuid,
    /// The volume that is backed up.
    pub volume: VolumeName,
    /// The unfinished backup.
    pub backup: BackupId,
    /// The backup whose segments it uses.
    pub parent: Option<BackupId>,
    /// The number of this attempt at the backup. It is also the generation that the attempt will commit.
    pub attempt: u32,
    /// The supervisor's process.
    pub by: Process,
    /// The source that is read.
    pub source: Source,
    /// When the attempt began.
    pub created: Timestamp,
    /// How often the marker was renewed. Always 0 for now.
    pub beat: u64,
    /// Identifies an unchanging source, such as a snapshot. `None` if the source may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
}

impl Pending {
    /// The marker's key.
    pub fn key(&self) -> String {
        keys::pending(&self.volume, &self.backup, self.attempt)
    }

    /// The bytes of the marker.
    pub fn encode(&self) -> Vec<u8> {
        json::encode(self)
    }

    /// Decodes a marker.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        json::decode(WHAT, bytes, JSON_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FORMAT_VERSION, FormatError};

    fn pending() -> Pending {
        Pending {
            format: FORMAT_VERSION,
            repository: Uuid::from_u128(7),
            volume: VolumeName::sanitize("v"),
            backup: BackupId::generate(Timestamp::UNIX_EPOCH, 1),
            parent: Some(BackupId::generate(Timestamp::UNIX_EPOCH, 0)),
            attempt: 0,
            by: Process { boot: "b".to_owned(), pid: 12, process_start: u64::MAX, ..Process::default() },
            source: Source { name: "/dev/vdb".to_owned(), ..Source::default() },
            created: Timestamp::UNIX_EPOCH,
            beat: 0,
            snapshot: None,
        }
    }

    #[test]
    fn it_round_trips() {
        for parent in [pending().parent, None] {
            let pending = Pending { parent, ..pending() };
            assert_eq!(Pending::decode(&pending.encode()).unwrap(), pending);
            let next = Pending { attempt: 3, beat: 9, snapshot: Some("one".to_owned()), ..pending };
            assert_eq!(Pending::decode(&next.encode()).unwrap(), next);
            assert!(next.key().ends_with("/pending-3.json"));
        }
    }

    #[test]
    fn a_newer_format_and_a_hostile_name_are_refused() {
        let newer = Pending { format: 9, ..pending() }.encode();
        let error = Pending::decode(&newer).unwrap_err();
        assert!(matches!(error, FormatError::NewerVersion { found: 9, .. }));
        let text = String::from_utf8(pending().encode()).unwrap();
        let hostile = text.replace("\"v\"", "\"../v\"");
        assert!(Pending::decode(hostile.as_bytes()).unwrap_err().is_damage());
    }
}
