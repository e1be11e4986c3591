//! `pending.json`: that a backup is in the making, by whom, and on which parent. Whoever resumes it
//! adds one of his own, `pending-1.json` and so on: of several only one can.
//!
//! Written before anything else of a backup and removed after everything else. While it lies
//! there, what it names as parent is not deleted, and what its backup has written so far is not
//! reclaimed unless the process that wrote it is known to be gone.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Result;
use crate::{BackupId, JSON_BYTES_MAX, VolumeName, json};

const WHAT: &str = "pending.json";

/// Who is making a backup. `machine`, `boot`, `pid` and `process_start` together tell one process
/// from every other that ever ran.
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
    /// The host's name, for people.
    pub host: String,
    /// The machine's id (`/etc/machine-id`).
    pub machine: String,
    /// The boot's id (`/proc/sys/kernel/random/boot_id`).
    pub boot: String,
    /// The supervisor's process id.
    pub pid: u32,
    /// When that process started, in clock ticks since boot (`/proc/<pid>/stat`, field 22).
    pub process_start: u64,
    /// When the backup began.
    pub created: Timestamp,
    /// How many times it was resumed before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub resumed: u32,
    /// What tells a source that does not change from every other; none if it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Pending {
    /// The bytes of `pending.json`.
    pub fn encode(&self) -> Vec<u8> {
        json::encode(self)
    }

    /// Reads `pending.json`.
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
            host: "host".to_owned(),
            machine: "m".to_owned(),
            boot: "b".to_owned(),
            pid: 12,
            process_start: u64::MAX,
            created: Timestamp::UNIX_EPOCH,
            resumed: 0,
            snapshot: None,
        }
    }

    #[test]
    fn it_round_trips() {
        for parent in [pending().parent, None] {
            let pending = Pending { parent, ..pending() };
            assert_eq!(Pending::decode(&pending.encode()).unwrap(), pending);
            let resumed = Pending { resumed: 3, snapshot: Some("one".to_owned()), ..pending };
            assert_eq!(Pending::decode(&resumed.encode()).unwrap(), resumed);
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
