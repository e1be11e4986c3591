//! Reads a volume with O_DIRECT into memory that is reused.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use septet_ipc::shm::NewSlot;
use septet_ipc::{AgentKind, Pool};

/// The alignment of addresses, offsets and lengths for O_DIRECT, bytes.
pub(crate) const ALIGN_BYTES: usize = 4096;
const UNIT_BYTES: u32 = 4096;
const HUGE_BYTES: usize = 2 << 20;

/// Opens `path` for reading with O_DIRECT, or without it if the file system has none (tmpfs).
pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true), path)
}

/// The same, for writing to an existing file.
pub(crate) fn open_for_writing(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().write(true), path)
}

fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::DIRECT.bits()).map_err(io::Error::other)?;
    match options.custom_flags(flags).open(path) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => options.custom_flags(0).open(path),
        other => other,
    }
}

/// Memory for O_DIRECT, on huge pages if possible, like Septet's own. With small pages a disk may reach less than half
/// of its rate.
pub(crate) struct Buffer {
    slot: NewSlot,
}

impl Buffer {
    /// A buffer of at least `bytes`, with every page already touched.
    ///
    /// # Errors
    /// There is not enough shared memory.
    pub(crate) fn new(bytes: usize) -> anyhow::Result<Self> {
        let pool = Pool::create(AgentKind::Reader, UNIT_BYTES, bytes.next_multiple_of(HUGE_BYTES) as u64)?;
        let mut slot = pool.take(bytes)?;
        slot.bytes_mut().fill(1);
        Ok(Self { slot })
    }

    /// The whole buffer.
    pub(crate) fn whole(&mut self) -> &mut [u8] {
        self.slot.bytes_mut()
    }

    /// Reads `bytes` at `offset`, or less at the end of the file.
    pub(crate) fn read<'a>(&'a mut self, file: &File, offset: u64, bytes: usize) -> io::Result<&'a [u8]> {
        let whole = bytes.next_multiple_of(ALIGN_BYTES);
        let memory = &mut self.whole()[..whole];
        let mut read = 0;
        while read < bytes {
            match file.read_at(&mut memory[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&memory[..read.min(bytes)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_written_also_at_a_crooked_end() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = dir.path().join("file");
        let bytes: Vec<u8> = (0..10_000u32).flat_map(u32::to_le_bytes).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = open(&path).unwrap();
        let mut buffer = Buffer::new(64 << 10).unwrap();
        assert_eq!(buffer.read(&file, 0, 64 << 10).unwrap(), bytes);
        assert_eq!(buffer.read(&file, 8192, 100).unwrap(), &bytes[8192..8292]);
        assert_eq!(buffer.read(&file, 36_864, 4096).unwrap(), &bytes[36_864..]);
        assert_eq!(buffer.read(&file, 40_960, 4096).unwrap(), b"");
    }
}
