//! Makes a changed copy of a volume.
//!
//! A changed block gets the bytes of another block of the same volume, each XORed with the same byte. It compresses as
//! well as the rest, but no deduplication finds it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::random::Stream;
use crate::extents;
use crate::units::{BLOCK_BYTES, Size};

/// Makes `to` a copy of `from`, including its holes, and changes this share of the blocks.
pub(super) fn blocks(from: &Path, to: &Path, stream: &Stream, share: f64) -> anyhow::Result<()> {
    let (from, to) = (File::open(from)?, File::create(to)?);
    copy(&from, &to)?;
    let blocks = Size(from.metadata()?.len()).blocks()?;
    let mut block = vec![0; BLOCK_BYTES];
    for number in stream.pick_share(share, blocks) {
        let other = stream.child("other").below(number, blocks);
        from.read_exact_at(&mut block, other * BLOCK_BYTES as u64)?;
        // Never 0, which would not change the bytes.
        let key = u8::try_from(1 + stream.child("key").below(number, 255))?;
        block.iter_mut().for_each(|byte| *byte ^= key);
        to.write_all_at(&block, number * BLOCK_BYTES as u64)?;
    }
    Ok(())
}

fn copy(from: &File, to: &File) -> anyhow::Result<()> {
    to.set_len(from.metadata()?.len())?;
    let mut piece = vec![0; BLOCK_BYTES];
    for extent in extents::data(from)? {
        for offset in extent.clone().step_by(BLOCK_BYTES) {
            let bytes = usize::try_from((extent.end - offset).min(BLOCK_BYTES as u64))?;
            from.read_exact_at(&mut piece[..bytes], offset)?;
            to.write_all_at(&piece[..bytes], offset)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_blocks_change_as_the_share_says_and_holes_stay() {
        let dir = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| dir.path().join(name));
        let file = File::create(&from).unwrap();
        file.set_len(100 * BLOCK_BYTES as u64).unwrap();
        file.write_all_at(&[7; 5000], 30 * BLOCK_BYTES as u64).unwrap();
        blocks(&from, &to, &Stream::new(1, "x"), 0.07).unwrap();

        let [old, new] = [&from, &to].map(|path| std::fs::read(path).unwrap());
        let pairs = old.chunks(BLOCK_BYTES).zip(new.chunks(BLOCK_BYTES));
        assert_eq!(pairs.filter(|(old, new)| old != new).count(), 7);
        assert!(extents::tests::total(&extents::data(&File::open(&to).unwrap()).unwrap()) <= 8 * BLOCK_BYTES as u64);
    }
}
