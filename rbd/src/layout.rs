//! What a backup stores about an image besides its content: its identity, and how to create an image like it.

use septet_format::Tracking;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ffi::{Image, Shape, Snapshot, feature};
use crate::rados::Errno;

/// The kind of change tracking that Ceph provides.
pub(crate) const KIND: &str = "rbd";

/// Features that a new image can be created with. Other features appear while an image is used.
const CREATABLE: u64 = feature::LAYERING
    | feature::STRIPING
    | feature::EXCLUSIVE_LOCK
    | feature::OBJECT_MAP
    | feature::FAST_DIFF
    | feature::DEEP_FLATTEN
    | feature::JOURNALING
    | feature::DATA_POOL;

/// The layout of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layout {
    /// The base-two logarithm of an object's size.
    pub(crate) order: u64,
    /// The image's features, as Ceph numbers them.
    features: u64,
    /// The stripe unit in bytes.
    stripe_unit_bytes: u64,
    /// The number of objects in a stripe.
    stripe_count: u64,
    /// The pool that holds the data, if it is not the image's own pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data_pool: Option<String>,
}

impl Layout {
    /// The layout of this image.
    pub(crate) fn of(image: &Image) -> Result<Self, Errno> {
        let (stripe_unit_bytes, stripe_count) = image.stripe()?;
        let (order, features, data_pool) = (image.order()?, image.features()?, image.data_pool()?);
        Ok(Self { order, features, stripe_unit_bytes, stripe_count, data_pool })
    }

    /// The layout of the image that was backed up. `None` if the source was of another kind.
    pub(crate) fn backed_up(tracking: &Tracking) -> Option<Self> {
        let layout = Value::Object(tracking.layout.clone());
        serde_json::from_value(layout).ok().filter(|_| tracking.kind == KIND)
    }

    /// What the manifest stores about a snapshot.
    pub(crate) fn tracking(&self, image: &Image, snapshot: &Snapshot) -> Result<Tracking, Errno> {
        let layout = serde_json::to_value(self).ok();
        Ok(Tracking {
            kind: KIND.to_owned(),
            source_id: image.id()?,
            snapshot: snapshot.name.clone(),
            snapshot_id: snapshot.id.to_string(),
            layout: layout.and_then(|layout| layout.as_object().cloned()).unwrap_or_default(),
        })
    }

    /// The properties of a new image with this layout.
    pub(crate) fn shape(self) -> Shape {
        let striped = self.features & feature::STRIPING != 0;
        Shape {
            features: self.features & CREATABLE,
            order: self.order,
            stripe: striped.then_some((self.stripe_unit_bytes, self.stripe_count)),
            data_pool: self.data_pool,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_image_was_says_how_to_make_one() {
        let text = r#"{"kind":"rbd","source_id":"1","snapshot":"s","snapshot_id":"4",
            "layout":{"order":22,"features":61,"stripe_unit_bytes":4194304,"stripe_count":1}}"#;
        let mut tracking: Tracking = serde_json::from_str(text).unwrap();
        let shape = Layout::backed_up(&tracking).unwrap().shape();
        assert_eq!((shape.features, shape.order, shape.stripe), (61, 22, None));
        tracking.kind = "dirty-bitmap".to_owned();
        assert_eq!(Layout::backed_up(&tracking), None);
    }
}
