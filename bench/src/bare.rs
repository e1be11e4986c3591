//! The bare work on one thread: the reference for Septet's cost.
//!
//! The blocks that a backup would read are read into memory in chunks that fit no cache, as a disk would deliver them.
//! Only the work on them is timed.

use std::fmt;
use std::fs::File;
use std::hint::black_box;
use std::ops::Range;
use std::path::Path;

use anyhow::Context;
use clap::ValueEnum;
use lz4_flex::block::{compress_into, get_maximum_output_size};
use serde::Serialize;

use crate::cpu::thread_seconds;
use crate::data::Kind;
use crate::split::one_process::is_zero;
use crate::units::{BLOCK_BYTES, ms_per_gb};
use crate::{direct, extents};

/// More than the last-level cache of common machines, but little memory.
const CHUNK_BYTES: usize = 256 << 20;

/// One kind of work that no backup can avoid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work {
    /// BLAKE3 of each block.
    Blake3,
    /// LZ4 (lz4_flex's fast encoder) of each block, into allocated memory.
    Lz4,
    /// Whether a block is all zeros.
    ZeroCheck,
    /// A copy of each block.
    Memcpy,
    /// Reading with O_DIRECT.
    DirectRead,
}

impl Work {
    /// Every kind of work.
    pub(crate) const ALL: [Self; 5] = [Self::Blake3, Self::Lz4, Self::ZeroCheck, Self::Memcpy, Self::DirectRead];
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blake3 => "BLAKE3",
            Self::Lz4 => "LZ4",
            Self::ZeroCheck => "zero check",
            Self::Memcpy => "memcpy",
            Self::DirectRead => "O_DIRECT read",
        })
    }
}

/// The cost of some bare work.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Bare {
    /// The input, bytes.
    pub(crate) bytes: u64,
    /// The length of the result, bytes: shorter for a codec.
    pub(crate) output_bytes: u64,
    /// CPU time, seconds.
    pub(crate) cpu_seconds: f64,
}

/// The cost of some bare work in one round.
#[derive(Debug, Serialize)]
pub(crate) struct BareRow {
    pub(crate) round: u32,
    pub(crate) kind: Kind,
    pub(crate) work: Work,
    #[serde(flatten)]
    pub(crate) bare: Bare,
}

impl Bare {
    /// CPU time for 10^9 bytes, milliseconds.
    pub(crate) fn ms_per_gb(&self) -> f64 {
        self.cpu_seconds * ms_per_gb(self.bytes)
    }
}

/// Does `work` on each block of the volume at `path` that holds data.
///
/// # Errors
/// The volume cannot be read.
pub(crate) fn measure(work: Work, path: &Path) -> anyhow::Result<Bare> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let runs = extents::blocks(&file)?;
    let (file, mut bench) = (direct::open(path)?, Bench::new(work)?);
    for chunk in runs.into_iter().flat_map(chunks) {
        bench.chunk(&file, &chunk).with_context(|| path.display().to_string())?;
    }
    Ok(bench.took)
}

fn chunks(run: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = run.end;
    run.step_by(CHUNK_BYTES).map(move |start| start..end.min(start + CHUNK_BYTES as u64))
}

struct Bench {
    work: Work,
    chunk: direct::Buffer,
    output: Vec<u8>,
    took: Bare,
}

impl Bench {
    fn new(work: Work) -> anyhow::Result<Self> {
        Ok(Self {
            work,
            chunk: direct::Buffer::new(CHUNK_BYTES)?,
            output: vec![1; get_maximum_output_size(BLOCK_BYTES)],
            took: Bare { bytes: 0, output_bytes: 0, cpu_seconds: 0.0 },
        })
    }

    fn chunk(&mut self, file: &File, range: &Range<u64>) -> anyhow::Result<()> {
        let start = thread_seconds();
        let bytes = self.chunk.read(file, range.start, usize::try_from(range.end - range.start)?)?;
        let read = thread_seconds();
        for block in bytes.chunks(BLOCK_BYTES) {
            self.took.output_bytes += work_on(self.work, block, &mut self.output)? as u64;
        }
        let done = thread_seconds();
        self.took.bytes += bytes.len() as u64;
        self.took.cpu_seconds += if self.work == Work::DirectRead { read - start } else { done - read };
        Ok(())
    }
}

/// Processes one block. Returns the length of the result.
fn work_on(work: Work, block: &[u8], output: &mut [u8]) -> anyhow::Result<usize> {
    match work {
        Work::Blake3 => {
            black_box(blake3::hash(block));
        }
        Work::Lz4 => return Ok(compress_into(block, output)?),
        Work::ZeroCheck => {
            black_box(is_zero(block));
        }
        Work::Memcpy => black_box(&mut output[..block.len()]).copy_from_slice(block),
        Work::DirectRead => {}
    }
    Ok(block.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn holes_are_no_work_and_all_the_rest_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("volume");
        let file = File::create(&path).unwrap();
        file.set_len(64 << 20).unwrap();
        file.write_all_at(b"some text of no great length", (5 << 20) + 8192).unwrap();
        for work in Work::ALL {
            let bare = measure(work, &path).unwrap();
            assert_eq!(bare.bytes, 1 << 20, "{work:?}");
            assert_eq!(bare.output_bytes < 1 << 20, work == Work::Lz4, "{work:?}");
            assert!(bare.cpu_seconds > 0.0, "{work:?}");
        }
    }

    #[test]
    fn chunks_cover_a_run_whole() {
        let chunk = CHUNK_BYTES as u64;
        assert_eq!(chunks(5..2 * chunk).collect::<Vec<_>>(), [5..5 + chunk, 5 + chunk..2 * chunk]);
    }
}
