//! A marker, `pending-0.json`: it says that a backup is in the making, by whom, and on which parent. A run
//! that takes over from a dead one adds a marker of its own, `pending-1.json` and so on.
//!
//! A marker is written before anything else of its attempt and removed after everything else. While it is
//! there, its parent's segments and what its backup has written so far are not reclaimed, unless the process
//! that wrote it is known to be gone.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Result;
use crate::{BackupId, JSON_BYTES_MAX, Process, Source, VolumeName, json, keys};

const WHAT: &str = "marker";

/// Who is making a backup, of what, and on which parent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// The format of what is being written.
    pub format: u32,
    /// The repository it belongs to.
    pub repository: Uuid,
    /// The volume that is backed up.
    pub volume: VolumeName,
    /// The backup in the making.
    pub backup: BackupId,
    /// The backup whose segments it builds on.
    pub parent: Option<BackupId>,
    /// Which attempt at the backup this is, and so the generation that it will commit.
    pub attempt: u32,
    /// The supervisor's process.
    pub by: Process,
    /// What is read.
    pub source: Source,
    /// When the attempt began.
    pub created: Timestamp,
    /// How often the marker was renewed. Always 0 for now.
    pub beat: u64,
    /// Identifies a source that does not change; none if it may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
}

impl Pending {
    /// What the marker is called.
    pub fn key(&self) -> String {
        keys::pending(&self.volume, &self.backup, self.attempt)
    }

    /// The bytes of the marker.
    pub fn encode(&self) -> Vec<u8> {
        json::encode(self)
    }

    /// Reads a marker.
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
