//! A backup's work in one process: read, hash, compress, write. It has no messages or shared memory, and makes no real
//! backup.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use lz4_flex::block::{compress_into, get_maximum_output_size};

use crate::direct::{self, ALIGN_BYTES, Buffer};
use crate::extents;
use crate::units::BLOCK_BYTES;

/// The number of streams, the same as Septet's default.
const STREAMS: usize = 4;
/// The bytes of one write.
const PIECE_BYTES: usize = 8 << 20;
/// Septet takes two samples of this size to recognise incompressible blocks.
const SAMPLE_BYTES: usize = 16 << 10;

/// Backs up the blocks of `volume` to the file `output`; each stream hashes `at_once` blocks, and only then
/// compresses them.
///
/// # Errors
/// The volume cannot be read, or the output cannot be written.
pub(crate) fn back_up(volume: &Path, output: &Path, at_once: usize) -> anyhow::Result<()> {
    let runs = extents::blocks(&File::open(volume)?)?;
    let offsets: Vec<u64> = runs.into_iter().flat_map(|run| run.step_by(BLOCK_BYTES)).collect();
    drop(OpenOptions::new().write(true).create_new(true).open(output)?);
    let (source, target) = (direct::open(volume)?, Target { file: direct::open_for_writing(output)?, end: 0.into() });
    let next = AtomicUsize::new(0);
    let stream = || -> anyhow::Result<()> {
        let mut blocks = (0..at_once).map(|_| Buffer::new(BLOCK_BYTES)).collect::<anyhow::Result<Vec<_>>>()?;
        let mut piece = Piece { buffer: Buffer::new(PIECE_BYTES)?, filled: 0 };
        loop {
            let from = next.fetch_add(at_once, Relaxed);
            let taken = &offsets[from.min(offsets.len())..(from + at_once).min(offsets.len())];
            if taken.is_empty() {
                return Ok(piece.write(&target)?);
            }
            let read = blocks.iter_mut().zip(taken).map(|(buffer, &offset)| hashed(buffer, &source, offset));
            for block in read.collect::<io::Result<Vec<_>>>()?.into_iter().flatten() {
                piece.append(block, &target)?;
            }
        }
    };
    std::thread::scope(|scope| {
        let streams: Vec<_> = (0..STREAMS).map(|_| scope.spawn(stream)).collect();
        streams.into_iter().try_for_each(|stream| stream.join().map_err(|_| anyhow::anyhow!("a stream panicked"))?)
    })?;
    Ok(target.file.sync_data()?)
}

/// Reads and hashes a block, unless it is all zeros.
fn hashed<'a>(buffer: &'a mut Buffer, source: &File, offset: u64) -> io::Result<Option<&'a [u8]>> {
    let block = buffer.read(source, offset, BLOCK_BYTES)?;
    if is_zero(block) {
        return Ok(None);
    }
    black_box(blake3::hash(block));
    Ok(Some(block))
}

/// Whether it is all zeros. The search ends at the first page that is not.
pub(crate) fn is_zero(block: &[u8]) -> bool {
    block.chunks(4096).all(|page| page.iter().fold(0, |all, byte| all | byte) == 0)
}

struct Target {
    file: File,
    end: AtomicU64,
}

/// Blocks on their way to the disk.
struct Piece {
    buffer: Buffer,
    filled: usize,
}

impl Piece {
    fn append(&mut self, block: &[u8], target: &Target) -> anyhow::Result<()> {
        if PIECE_BYTES - self.filled < get_maximum_output_size(block.len()) {
            self.write(target)?;
        }
        let room = &mut self.buffer.whole()[self.filled..];
        let stored = if looks_compressible(block, room) { compress_into(block, room)? } else { block.len() };
        if stored >= block.len() {
            room[..block.len()].copy_from_slice(block);
        }
        self.filled += stored.min(block.len());
        Ok(())
    }

    fn write(&mut self, target: &Target) -> io::Result<()> {
        let whole = self.filled.next_multiple_of(ALIGN_BYTES);
        let at = target.end.fetch_add(whole as u64, Relaxed);
        self.filled = 0;
        target.file.write_all_at(&self.buffer.whole()[..whole], at)
    }
}

fn looks_compressible(block: &[u8], scratch: &mut [u8]) -> bool {
    let sample = |at: usize| block.get(at..at + SAMPLE_BYTES);
    [block.len() / 4, block.len() / 4 * 3].into_iter().any(|at| {
        sample(at)
            .is_none_or(|sample| compress_into(sample, scratch).is_ok_and(|stored| stored < SAMPLE_BYTES / 100 * 98))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_does_not_get_smaller_and_not_the_zeros() {
        let dir = tempfile::tempdir().unwrap();
        let (volume, output) = (dir.path().join("volume"), dir.path().join("output"));
        let mut hasher = blake3::Hasher::new();
        let mut content = vec![0; 3 * BLOCK_BYTES];
        hasher.update(b"noise").finalize_xof().fill(&mut content[..BLOCK_BYTES]);
        content[2 * BLOCK_BYTES..].fill(b'a');
        std::fs::write(&volume, &content).unwrap();
        for at_once in [1, 2] {
            let _ = std::fs::remove_file(&output);
            back_up(&volume, &output, at_once).unwrap();
            let written = std::fs::read(&output).unwrap();
            let expected = BLOCK_BYTES..BLOCK_BYTES + 10 * ALIGN_BYTES;
            assert!(expected.contains(&written.len()), "{}", written.len());
            assert!(written.windows(64).any(|window| *window == content[..64]));
        }
    }
}
