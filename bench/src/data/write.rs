//! Writes a volume's file completely or not at all.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Context;

use super::random::Stream;
use crate::units::{BLOCK_BYTES, Size};

/// Calls `make` with a temporary path beside `path`, and renames the file to `path` when it is complete.
///
/// An existing file is kept.
pub(crate) fn make_once(path: &Path, make: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    eprintln!("making {}", path.display());
    let partial = path.with_extension("partial");
    make(&partial)
        .and_then(|()| Ok(File::open(&partial)?.sync_all()?))
        .with_context(|| partial.display().to_string())?;
    std::fs::rename(&partial, path).with_context(|| path.display().to_string())
}

/// A file of holes, with random bytes in this share of its blocks.
pub(super) fn random(path: &Path, size: Size, stream: &Stream, share: f64) -> anyhow::Result<()> {
    let file = File::create(path)?;
    file.set_len(size.0)?;
    let mut block = vec![0; BLOCK_BYTES];
    for number in stream.child("blocks").pick_share(share, size.blocks()?) {
        let offset = number * BLOCK_BYTES as u64;
        stream.fill(offset, &mut block);
        file.write_all_at(&block, offset)?;
    }
    Ok(())
}

/// A file of written zeros, without holes.
pub(super) fn zeros(path: &Path, size: Size) -> anyhow::Result<()> {
    let mut file = File::create(path)?;
    let block = vec![0; BLOCK_BYTES];
    (0..size.blocks()?).try_for_each(|_| file.write_all(&block))?;
    Ok(())
}
