//! The volumes for all measurements. They are made once and kept.
//!
//! There are four kinds, each in its original form, with 1 % and with 7 % of its blocks changed. Their content depends
//! only on a seed (the Debian image: on the root that `tests/debian` makes), so that figures can be reproduced.

mod change;
mod debian;
pub(crate) mod random;
mod write;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;

use crate::units::Size;
use random::Stream;
use write::make_once;

/// The content of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Random bytes.
    Incompressible,
    /// A real ext4 image with the files of a Debian. LZ4 compresses it to about half.
    Debian,
    /// Written zeros, which are allocated on the disk.
    Zeros,
    /// Holes, except 1 % of random blocks.
    Sparse,
}

impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Self; 4] = [Self::Incompressible, Self::Debian, Self::Zeros, Self::Sparse];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incompressible => "incompressible",
            Self::Debian => "debian",
            Self::Zeros => "zeros",
            Self::Sparse => "sparse",
        })
    }
}

/// A volume and its changed copies.
#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) kind: Kind,
    /// The path of the original.
    pub(crate) dir: PathBuf,
    pub(crate) original: PathBuf,
    /// The copy with 1 % of the blocks changed.
    pub(crate) changed_1: PathBuf,
    /// The copy with 7 % of the blocks changed.
    pub(crate) changed_7: PathBuf,
}

impl Volume {
    /// The volume of this kind and size below `dir`. Creates the files that do not exist.
    ///
    /// # Errors
    /// The directory cannot be written or is full, or `mkfs.ext4` is missing.
    pub(crate) fn prepare(kind: Kind, dir: &Path, size: Size, seed: u64) -> anyhow::Result<Self> {
        let dir = dir.join(format!("{size}-seed-{seed}")).join(kind.to_string());
        std::fs::create_dir_all(&dir).with_context(|| format!("{}: can't make the directory", dir.display()))?;
        let [original, changed_1, changed_7] =
            ["volume", "changed-1-percent", "changed-7-percent"].map(|name| dir.join(format!("{name}.img")));
        let stream = Stream::new(seed, &kind.to_string());
        make_once(&original, |path| match kind {
            Kind::Incompressible => write::random(path, size, &stream, 1.0),
            Kind::Debian => debian::image(path, size),
            Kind::Zeros => write::zeros(path, size),
            Kind::Sparse => write::random(path, size, &stream, 0.01),
        })?;
        make_once(&changed_1, |path| change::blocks(&original, path, &stream.child("1 %"), 0.01))?;
        make_once(&changed_7, |path| change::blocks(&original, path, &stream.child("7 %"), 0.07))?;
        Ok(Self { kind, dir, original, changed_1, changed_7 })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn prepare(kind: Kind, dir: &Path) -> Volume {
        Volume::prepare(kind, dir, Size(8 << 20), 7).unwrap()
    }

    #[test]
    fn the_same_seed_makes_the_same_volumes() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [a, b] = dirs.each_ref().map(|dir| prepare(Kind::Incompressible, dir.path()));
        for (a, b) in [(&a.original, &b.original), (&a.changed_7, &b.changed_7)] {
            assert!(std::fs::read(a).unwrap() == std::fs::read(b).unwrap());
        }
        assert!(std::fs::read(&a.original).unwrap() != std::fs::read(&a.changed_7).unwrap());
    }

    #[test]
    fn zeros_have_their_place_on_the_disk_and_holes_have_none() {
        let dir = tempfile::tempdir().unwrap();
        let zeros = prepare(Kind::Zeros, dir.path()).original.metadata().unwrap();
        let sparse = prepare(Kind::Sparse, dir.path()).original.metadata().unwrap();
        assert_eq!((zeros.len(), sparse.len()), (8 << 20, 8 << 20));
        assert!(zeros.blocks() * 512 >= 8 << 20);
        assert!(sparse.blocks() * 512 < 2 << 20, "1 % of 8 blocks is one block");
    }

    #[test]
    fn a_volume_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let first = prepare(Kind::Sparse, dir.path()).original.metadata().unwrap();
        let second = prepare(Kind::Sparse, dir.path()).original.metadata().unwrap();
        assert_eq!(first.ino(), second.ino());
    }
}
