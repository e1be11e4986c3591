//! The machine's limits for a volume's data, each measured alone: the disk, the bare work on all cores, memory and TCP.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Context;
use lz4_flex::block::{compress_into, get_maximum_output_size};
use serde::Serialize;

use crate::data::{Kind, Volume};
use crate::units::BLOCK_BYTES;
use crate::{direct, extents, workspace};

/// Septet's default and a larger number. The faster of both counts.
const STREAMS: [usize; 2] = [4, 16];
/// The size of the bare work's data in memory: more than the last-level cache.
const SAMPLE_BLOCKS: usize = 256;
/// The bare work is repeated for at least this time.
const LEAST: Duration = Duration::from_millis(300);
const TCP_BYTES: usize = 512 << 20;

/// Rates on one kind of volume, bytes a second.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Roofline {
    pub(crate) kind: Kind,
    /// The bytes that a backup by blocks reads of the volume.
    pub(crate) bytes: u64,
    /// Reading with O_DIRECT, several at a time.
    pub(crate) read: f64,
    /// Writing with O_DIRECT, several at a time, until it is durable.
    pub(crate) write: f64,
    /// Both at once: each block is read and written.
    pub(crate) copy: f64,
    /// BLAKE3 of each block, on all cores.
    pub(crate) blake3: f64,
    /// LZ4 of each block, on all cores.
    pub(crate) lz4: f64,
    /// A copy of each block, on all cores.
    pub(crate) memcpy: f64,
    /// One connection on loopback.
    pub(crate) tcp: f64,
}

/// The bottleneck of a backup, and the shortest possible time.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Limit {
    pub(crate) what: &'static str,
    pub(crate) seconds: f64,
    /// Hashing and compressing on all cores, with nothing else.
    pub(crate) work_seconds: f64,
}

impl Roofline {
    /// Measures with this volume's data; files are written in `dir`.
    ///
    /// # Errors
    /// The volume cannot be read, or the directory cannot be written.
    pub(crate) fn measure(volume: &Volume, dir: &Path) -> anyhow::Result<Self> {
        let source = File::open(&volume.original).with_context(|| volume.original.display().to_string())?;
        let offsets: Vec<u64> =
            extents::blocks(&source)?.into_iter().flat_map(|run| run.step_by(BLOCK_BYTES)).collect();
        let (source, sample) = (direct::open(&volume.original)?, load(&volume.original, &offsets)?);
        let path = dir.join("roofline.img");
        let rate = |task| {
            STREAMS.into_iter().try_fold(0.0, |best: f64, streams| {
                workspace::settle();
                anyhow::Ok(best.max(moved(task, streams, &source, &path, &offsets)?))
            })
        };
        let (read, write, copy) = (rate(Task::Read)?, rate(Task::Write)?, rate(Task::Copy)?);
        workspace::remove(&path)?;
        Ok(Self {
            kind: volume.kind,
            bytes: offsets.len() as u64 * BLOCK_BYTES as u64,
            read,
            write,
            copy,
            blake3: worked(&sample, |block, _| usize::from(black_box(blake3::hash(block)).as_bytes()[0])),
            lz4: worked(&sample, |block, output| compress_into(block, output).unwrap_or(0)),
            memcpy: worked(&sample, |block, output| {
                output[..block.len()].copy_from_slice(block);
                output.len()
            }),
            tcp: tcp()?,
        })
    }

    /// The better rates of two measurements: a limit is what the machine can do at best.
    pub(crate) fn best(self, other: Self) -> Self {
        Self {
            read: self.read.max(other.read),
            write: self.write.max(other.write),
            copy: self.copy.max(other.copy),
            blake3: self.blake3.max(other.blake3),
            lz4: self.lz4.max(other.lz4),
            memcpy: self.memcpy.max(other.memcpy),
            tcp: self.tcp.max(other.tcp),
            ..self
        }
    }

    /// The limit of a full backup that stores this many bytes.
    pub(crate) fn limit(&self, stored_bytes: u64) -> Limit {
        let (bytes, stored) = (self.bytes as f64, (stored_bytes.min(self.bytes)) as f64);
        let disk = stored / self.copy + (bytes - stored) / self.read;
        // Incompressible blocks and zeros are not compressed.
        let is_compressed = stored > 0.01 * bytes && stored < 0.97 * bytes;
        let lz4 = if is_compressed { bytes / self.lz4 } else { 0.0 };
        let hash = if stored > 0.01 * bytes { bytes / self.blake3 } else { 0.0 };
        let (what, seconds) = if lz4 > disk { ("LZ4 on all cores", lz4) } else { ("the disk", disk) };
        Limit { what, seconds, work_seconds: lz4 + hash }
    }
}

/// The operation on a block on the disk.
#[derive(Clone, Copy, PartialEq)]
enum Task {
    Read,
    Write,
    Copy,
}

/// Moves every block, several at a time. Returns bytes a second until all are durable.
fn moved(task: Task, streams: usize, source: &File, path: &Path, offsets: &[u64]) -> anyhow::Result<f64> {
    let target = (task != Task::Read).then(|| fresh(path)).transpose()?;
    let (next, start) = (AtomicUsize::new(0), Instant::now());
    let stream = || -> anyhow::Result<()> {
        let mut buffer = direct::Buffer::new(BLOCK_BYTES)?;
        while let Some(&offset) = offsets.get(next.fetch_add(1, Relaxed)) {
            let bytes =
                if task == Task::Write { &*buffer.whole() } else { buffer.read(source, offset, BLOCK_BYTES)? };
            if let Some(target) = &target {
                target.write_all_at(bytes, offset)?;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let streams: Vec<_> = (0..streams).map(|_| scope.spawn(stream)).collect();
        streams.into_iter().try_for_each(|stream| stream.join().map_err(|_| anyhow::anyhow!("a stream panicked"))?)
    })?;
    if let Some(target) = &target {
        target.sync_data()?;
    }
    Ok(offsets.len() as f64 * BLOCK_BYTES as f64 / start.elapsed().as_secs_f64())
}

fn fresh(path: &Path) -> anyhow::Result<File> {
    workspace::remove(path)?;
    drop(OpenOptions::new().write(true).create_new(true).open(path)?);
    Ok(direct::open_for_writing(path)?)
}

/// Some of the volume's blocks, from all over it.
fn load(path: &Path, offsets: &[u64]) -> anyhow::Result<Vec<Vec<u8>>> {
    let file = File::open(path)?;
    let step = offsets.len().div_ceil(SAMPLE_BLOCKS).max(1);
    let block = |&offset: &u64| {
        let mut block = vec![0; BLOCK_BYTES];
        file.read_exact_at(&mut block, offset).map(|()| block)
    };
    Ok(offsets.iter().step_by(step).map(block).collect::<Result<_, _>>()?)
}

/// Processes the blocks with one thread for each core. Returns bytes a second.
fn worked(blocks: &[Vec<u8>], work: impl Fn(&[u8], &mut [u8]) -> usize + Sync) -> f64 {
    let (next, start) = (AtomicUsize::new(0), Instant::now());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let mut output = vec![1; get_maximum_output_size(BLOCK_BYTES)];
                loop {
                    let number = next.fetch_add(1, Relaxed);
                    if blocks.is_empty() || (number >= blocks.len() && start.elapsed() > LEAST) {
                        return;
                    }
                    black_box(work(&blocks[number % blocks.len()], black_box(&mut output)));
                }
            });
        }
    });
    let done = next.load(Relaxed).saturating_sub(cores);
    done as f64 * BLOCK_BYTES as f64 / start.elapsed().as_secs_f64()
}

fn tcp() -> anyhow::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    let (mut receiver, _) = listener.accept()?;
    let (piece, mut buffer, start) = (vec![1; 256 << 10], vec![0; 256 << 10], Instant::now());
    let sending = std::thread::spawn(move || (0..TCP_BYTES / piece.len()).try_for_each(|_| sender.write_all(&piece)));
    while receiver.read(&mut buffer)? > 0 {}
    sending.join().map_err(|_| anyhow::anyhow!("the sender panicked"))??;
    Ok(TCP_BYTES as f64 / start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Size;

    fn roofline() -> Roofline {
        Roofline {
            kind: Kind::Debian,
            bytes: 1000,
            read: 100.0,
            write: 50.0,
            copy: 40.0,
            blake3: 500.0,
            lz4: 20.0,
            memcpy: 1e9,
            tcp: 1e9,
        }
    }

    #[test]
    fn what_takes_longest_binds() {
        let limit = roofline().limit(500);
        assert_eq!((limit.what, limit.seconds, limit.work_seconds), ("LZ4 on all cores", 50.0, 52.0));
        let limit = roofline().limit(1000);
        assert_eq!((limit.what, limit.seconds, limit.work_seconds), ("the disk", 25.0, 2.0));
        assert_eq!(roofline().limit(0).seconds, 10.0, "zeros are only read");
    }

    #[test]
    fn every_rate_is_measured() {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::prepare(Kind::Incompressible, dir.path(), Size(8 << 20), 1).unwrap();
        let Roofline { bytes, read, write, copy, blake3, lz4, memcpy, tcp, .. } =
            Roofline::measure(&volume, dir.path()).unwrap();
        assert_eq!(bytes, 8 << 20);
        assert!([read, write, copy, blake3, lz4, memcpy, tcp].iter().all(|&rate| rate > 1e6 && rate.is_finite()));
    }
}
