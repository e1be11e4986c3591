//! How a source tells what changed since an earlier backup of it.
//!
//! A backup keeps what it was told. The next one asks the source for its changes only if all of it still holds, and
//! a restore can make the source anew as it was.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The state of a source that a backup read, by the source's own names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracking {
    /// Who keeps track: `rbd`. Only the same kind understands the rest.
    pub kind: String,
    /// The source's own id: one that is made anew under the same name has another.
    pub source_id: String,
    /// The name of the snapshot that was read.
    pub snapshot: String,
    /// The snapshot's own id, which is never used again.
    pub snapshot_id: String,
    /// What it takes to make the source anew, as `kind` defines it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub layout: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_version_adds_is_passed_over() {
        let text = r#"{"kind":"k","source_id":"1","snapshot":"s","snapshot_id":"4","since":7}"#;
        let tracking: Tracking = serde_json::from_str(text).unwrap();
        assert_eq!((tracking.snapshot_id.as_str(), tracking.layout.is_empty()), ("4", true));
        let text = r#"{"kind":"k","source_id":"1","snapshot":"s","snapshot_id":"4","layout":{"order":22}}"#;
        let tracking: Tracking = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&tracking).unwrap(), text);
    }
}
