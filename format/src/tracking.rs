//! The identity and layout of a source that tracks its own changes.
//!
//! A backup stores them. The next backup asks the source for its changes only if the ids are still the same. A restore
//! can create a new source with the same layout.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The state of the source that a backup read, in the source's own terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracking {
    /// The system that tracks changes. `rbd` is Ceph. The other fields depend on the kind.
    pub kind: String,
    /// The source's own id. A new source with the same name has a different id.
    pub source_id: String,
    /// The name of the snapshot that was read.
    pub snapshot: String,
    /// The snapshot's own id, which is never used again.
    pub snapshot_id: String,
    /// What is needed to create a source like this one. `kind` defines the keys.
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
