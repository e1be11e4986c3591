//! A table of fixed-size entries in shared memory: a volume's checksums, or its map.
//!
//! Entries are read and written by `pread` and `pwrite` on the object, not through a mapping. At one entry for each
//! block that costs 0.3 µs per MiB. It needs no unsafe code, it turns a full `/dev/shm` into an error instead of a
//! SIGBUS, and entries that a sparse volume never touches take no memory.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::fstat;
use rustix::io::{Errno, pread, pwrite};

use super::Blank;
use crate::message::Failure;
use crate::message::{TableKind, TableLine};

/// A table. An entry that was never set is all zeros.
#[derive(Debug)]
pub struct Table {
    line: TableLine,
    object: OwnedFd,
}

impl Table {
    /// Creates a table of zeros.
    ///
    /// # Errors
    /// `/dev/shm` can't be used, or the table would be too large.
    pub fn create(kind: TableKind, entries: u64) -> Result<Self, Failure> {
        Self::create_in(Blank::new(&kind.to_string()), kind, entries)
    }

    /// The same in an object that was opened earlier.
    pub(crate) fn create_in(blank: Blank, kind: TableKind, entries: u64) -> Result<Self, Failure> {
        let bytes = u64::from(kind.entry_bytes())
            .checked_mul(entries)
            .filter(|&bytes| bytes < 1 << 62)
            .ok_or_else(|| Failure::shared_memory(format!("a table cannot have {entries} entries")))?;
        let object = blank.sparse(bytes)?;
        Ok(Self { line: TableLine { kind, entries }, object })
    }

    /// Opens a table that another agent created.
    ///
    /// # Errors
    /// The announcement does not match its object.
    pub fn attach(line: TableLine, object: OwnedFd) -> Result<Self, Failure> {
        let bytes = u64::from(line.kind.entry_bytes()).checked_mul(line.entries);
        let size = fstat(&object).ok().and_then(|stat| u64::try_from(stat.st_size).ok());
        if bytes.is_none() || bytes != size {
            return Err(Failure::protocol(format!(
                "table {}: its shared memory is not of the announced size",
                line.kind
            )));
        }
        Ok(Self { line, object })
    }

    /// The line that announces the table to other agents.
    pub fn line(&self) -> &TableLine {
        &self.line
    }

    /// The object, to be sent to other agents.
    pub fn object(&self) -> BorrowedFd<'_> {
        self.object.as_fd()
    }

    /// What it holds.
    pub fn kind(&self) -> TableKind {
        self.line.kind
    }

    /// How many entries it has.
    pub fn entries(&self) -> u64 {
        self.line.entries
    }

    /// How much memory it takes now, bytes.
    pub fn resident_bytes(&self) -> u64 {
        fstat(&self.object).map_or(0, |stat| u64::try_from(stat.st_blocks).unwrap_or(0) * 512)
    }

    /// Reads entries into `into`, starting at entry `first`. The length of `into` is a multiple of the entry's size.
    ///
    /// # Errors
    /// The table does not have these entries.
    pub fn read(&self, first: u64, into: &mut [u8]) -> Result<(), Failure> {
        let mut at = self.position(first, into.len())?;
        let mut rest = into;
        while !rest.is_empty() {
            let read = match pread(&self.object, &mut *rest, at) {
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(self.failure("reading", errno)),
                Ok(0) => return Err(self.failure("reading", Errno::IO)),
                Ok(read) => read,
            };
            at += read as u64;
            rest = &mut rest[read..];
        }
        Ok(())
    }

    /// Writes entries, starting at entry `first`.
    ///
    /// # Errors
    /// The table does not have these entries, or `/dev/shm` is full.
    pub fn write(&self, first: u64, entries: &[u8]) -> Result<(), Failure> {
        let mut at = self.position(first, entries.len())?;
        let mut rest = entries;
        while !rest.is_empty() {
            let written = match pwrite(&self.object, rest, at) {
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(self.failure("writing", errno)),
                Ok(0) => return Err(self.failure("writing", Errno::IO)),
                Ok(written) => written,
            };
            at += written as u64;
            rest = &rest[written..];
        }
        Ok(())
    }

    /// Sets `count` entries back to zeros, starting at entry `first`, and frees their memory.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn clear(&self, first: u64, count: u64) -> Result<(), Failure> {
        let from = self.position(first, 0)?;
        let bytes = self.position(first.saturating_add(count), 0)? - from;
        if bytes == 0 {
            return Ok(());
        }
        let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.object, flags, from, bytes).map_err(|errno| self.failure("clearing", errno))
    }

    fn position(&self, first: u64, bytes: usize) -> Result<u64, Failure> {
        let entry = u64::from(self.line.kind.entry_bytes());
        let total = entry * self.line.entries;
        let start =
            first.checked_mul(entry).filter(|start| start.checked_add(bytes as u64).is_some_and(|end| end <= total));
        start.ok_or_else(|| Failure::protocol(format!("entry {first} is beyond the table {}", self.line.kind)))
    }

    fn failure(&self, doing: &str, errno: Errno) -> Failure {
        let cause = match errno {
            Errno::NOSPC => "no space in /dev/shm: enlarge it (mount -o remount,size=512M /dev/shm)".to_owned(),
            other => other.to_string(),
        };
        Failure::shared_memory(cause).doing(format!("{doing} the table {}", self.line.kind))
    }
}
