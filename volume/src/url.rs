//! A volume as the user names it: a path, or the URL of an image. This is the only place that parses it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::{BadRbdUrl, Origin, RbdUrl, origin};

/// The name of a volume.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum VolumeUrl {
    /// The path of a regular file or a block device.
    Path(PathBuf),
    /// An image in a Ceph cluster.
    Image(RbdUrl),
}

impl VolumeUrl {
    /// The path, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Image(_) => None,
        }
    }

    /// The image, if it is one.
    pub fn image(&self) -> Option<&RbdUrl> {
        match self {
            Self::Path(_) => None,
            Self::Image(image) => Some(image),
        }
    }

    /// The length of a regular file. `None` for any other volume.
    pub fn file_bytes(&self) -> Option<u64> {
        std::fs::metadata(self.path()?).ok().filter(std::fs::Metadata::is_file).map(|file| file.len())
    }

    /// The volume's origin. An image is identified by its id, or by its name if the id is unknown.
    pub fn origin(&self, image_id: Option<&str>) -> Origin {
        match self {
            Self::Path(path) => origin(path),
            Self::Image(RbdUrl { pool, namespace, image, .. }) => {
                let namespace = namespace.as_deref().unwrap_or_default();
                let identity = format!("{pool}/{namespace}/{}", image_id.unwrap_or(image));
                Origin { kind: "image", identity }
            }
        }
    }

    /// A short name: `vg-data` for `/dev/vg/data`, `db.img` for `/images/db.img`, `pool-image` for
    /// `rbd:pool/image@snapshot`.
    pub fn short_name(&self) -> String {
        match self {
            Self::Image(RbdUrl { pool, namespace, image, .. }) => [Some(pool), namespace.as_ref(), Some(image)]
                .into_iter()
                .flatten()
                .cloned()
                .collect::<Vec<_>>()
                .join("-"),
            Self::Path(path) => {
                let device = path.to_str().and_then(|path| path.strip_prefix("/dev/"));
                match device.filter(|name| !name.starts_with("shm/")) {
                    Some(device) => device.replace('/', "-"),
                    None => path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
                }
            }
        }
    }
}

impl From<PathBuf> for VolumeUrl {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

impl From<RbdUrl> for VolumeUrl {
    fn from(image: RbdUrl) -> Self {
        Self::Image(image)
    }
}

impl fmt::Display for VolumeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Image(image) => image.fmt(f),
        }
    }
}

impl FromStr for VolumeUrl {
    type Err = BadRbdUrl;

    /// Fails if the text begins like the URL of an image but is not a valid one. Every other text is a path.
    fn from_str(text: &str) -> Result<Self, BadRbdUrl> {
        if text.starts_with(RbdUrl::SCHEME) { text.parse().map(Self::Image) } else { Ok(Self::Path(text.into())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_a_path_or_an_image() {
        for text in ["/dev/vdb", "disk.img", "./rbd:p/i", "rbd-diff:a@b"] {
            let url: VolumeUrl = text.parse().unwrap();
            assert_eq!((url.path(), url.image(), url.to_string().as_str()), (Some(Path::new(text)), None, text));
        }
        let url: VolumeUrl = "rbd:p/i@s?user=u".parse().unwrap();
        assert_eq!((url.path(), url.image().map(RbdUrl::name).as_deref()), (None, Some("rbd:p/i@s")));
        assert_eq!(url.to_string(), "rbd:p/i@s?user=u");
    }

    #[test]
    fn a_volume_has_a_short_name() {
        for (text, name) in [
            ("/dev/vdb", "vdb"),
            ("/dev/vg/data", "vg-data"),
            ("/images/db.img", "db.img"),
            ("/dev/shm/db.img", "db.img"),
            ("/images/my disk.img", "my disk.img"),
            ("rbd:volumes/disk-1@monday?user=backup", "volumes-disk-1"),
            ("rbd:volumes/tenant/disk-1", "volumes-tenant-disk-1"),
        ] {
            assert_eq!(text.parse::<VolumeUrl>().unwrap().short_name(), name);
        }
    }

    #[test]
    fn an_image_is_identified_by_its_id_if_that_is_known() {
        let url: VolumeUrl = "rbd:p/n/i@s?user=u".parse().unwrap();
        assert_eq!(url.origin(None), Origin { kind: "image", identity: "p/n/i".to_owned() });
        assert_eq!(url.origin(Some("5e2f")).identity, "p/n/5e2f");
        let url: VolumeUrl = "rbd:p/i".parse().unwrap();
        assert_eq!(url.origin(Some("5e2f")).identity, "p//5e2f");
    }

    #[test]
    fn what_starts_like_an_image_is_no_path() {
        assert!("rbd:disk".parse::<VolumeUrl>().is_err());
    }
}
