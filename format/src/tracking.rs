//! What a source that keeps track of its changes says of itself.
//!
//! A backup stores it. The next backup asks the source what changed only if the ids are still the same. A restore can
//! make the source anew with the same layout.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The state of a source that a backup read, by the source's own names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracking {
    /// Who keeps track: `rbd` is Ceph. Another kind does not understand the rest.
    pub kind: String,
    /// The source's own id. A new source of the same name has another.
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
