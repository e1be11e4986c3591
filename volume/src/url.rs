//! What people call a volume, taken apart once: a path, or the URL of an image.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::{BadRbdUrl, RbdUrl};

/// A volume, by the name that leads to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum VolumeUrl {
    /// A regular file or a block device.
    Path(PathBuf),
    /// An image in a cluster, to which another binary speaks.
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

    /// Fails for what starts like the URL of an image and is none. Everything else is a path.
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
    fn what_starts_like_an_image_is_no_path() {
        assert!("rbd:disk".parse::<VolumeUrl>().is_err());
    }
}
