//! What a job says of an RBD image.
//!
//! The reader says what it read, the manifest keeps it, and the next backup and a restore get it again:
//! so nobody trusts a snapshot that is not the very one, and a new image can be made as the old one was.

use serde::{Deserialize, Serialize};

/// What an image was when it was backed up; also in the manifest, as the extension `rbd`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RbdOrigin {
    /// The image's own id: an image that is made anew under the same name has another.
    pub image_id: String,
    /// The snapshot that was read.
    pub snapshot: String,
    /// The snapshot's own id, which is never used again.
    pub snapshot_id: u64,
    /// The base-two logarithm of an object's size.
    pub order: u64,
    /// The image's features, as Ceph numbers them.
    pub features: u64,
    /// The unit in which the image is striped, bytes.
    pub stripe_unit_bytes: u64,
    /// How many objects a stripe goes over.
    pub stripe_count: u64,
    /// The pool of the data, if that is not the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_pool: Option<String>,
}

/// What only a backup of an RBD image needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RbdBackup {
    /// How many in a million of the blocks that Ceph calls unchanged are read and compared all the same.
    pub audit_ppm: u32,
    /// What the parent was made of; none: Ceph is not asked what has changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<RbdOrigin>,
    /// What is read: added by the reader. Where it is known before, nothing else is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<RbdOrigin>,
    /// A folder in which a stream of changes was laid out: that is read, and no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool: Option<String>,
}

/// What only a restore to an RBD image needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RbdRestore {
    /// Whether the image is to be made.
    pub create: bool,
    /// The image that was backed up: how to make it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<RbdOrigin>,
}
