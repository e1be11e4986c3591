//! Sparse volumes from 1 GiB on. Each is sixteen times as large as the one before and holds the same amount of data.

use super::bench::{Bench, Cause};
use crate::data::random::Stream;
use crate::memory::{PIECE_BYTES, scatter};
use crate::units::Size;
use crate::{compare, workspace};

/// The data scattered over each volume.
const DATA_BYTES: u64 = 64 << 20;
/// ext4 does not support a file of exactly 16 TiB.
const LESS_BYTES: u64 = 1 << 20;

pub(super) fn measure(bench: &mut Bench, most: Size, seed: u64) -> anyhow::Result<()> {
    let mut size = 1 << 30;
    while size < most.0 {
        one(bench, size, seed)?;
        size *= 16;
    }
    one(bench, most.0, seed)
}

fn one(bench: &mut Bench, bytes: u64, seed: u64) -> anyhow::Result<()> {
    let (source, restored, stream) = (bench.path("sparse.img"), bench.path("restored.img"), Stream::new(seed, "sizes"));
    let (cause, at, pieces) = (Cause::SizeMib, bytes >> 20, DATA_BYTES / PIECE_BYTES);
    workspace::remove(&source)?;
    workspace::remove(&bench.path("sizes"))?;
    scatter(&source, Size(bytes - LESS_BYTES), pieces, &stream)?;
    let full = |bench: &Bench, round: u32| {
        let mut command =
            bench.septet("sizes", &["backup", "--full", "--volume", "v", "--id", &format!("full-{round}")]);
        command.arg(&source);
        command
    };
    bench.point((cause, at, "full"), full, |_, _| Ok(()))?;
    scatter(&source, Size(bytes - LESS_BYTES), pieces / 100, &stream.child("changed"))?;
    let incremental = |bench: &Bench, round: u32| {
        let words = ["backup", "--parent", "full-0", "--volume", "v", "--id", &format!("incremental-{round}")];
        let mut command = bench.septet("sizes", &words);
        command.arg(&source);
        command
    };
    bench.point((cause, at, "incremental"), incremental, |_, _| Ok(()))?;
    let restore = |bench: &Bench, _| {
        let mut command = bench.septet("sizes", &["restore", "v@latest"]);
        command.arg(&restored);
        command
    };
    bench.point((cause, at, "restore"), restore, |_, _| {
        compare::same(&source, &restored)?;
        workspace::remove(&restored)
    })
}
