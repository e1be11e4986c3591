//! One line on a socket, and the two directions of the socket.
//!
//! `begin`, `pool`, `table`, commands, `end` and `error` go downstream. Only `release` goes upstream. A line is decoded
//! into a typed struct and then checked into a [`Message`]. Decoding into a `serde_json::Value` costs 2.8 times as
//! much, and an untagged enum costs nearly as much as that.

use std::fmt;

use septet_format::{BackupId, BlockHash, CHECKSUM_ENTRY_BYTES, Codec, MAP_ENTRY_BYTES, SegmentId, VolumeName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::begin::Begin;
use super::command::{Command, State};
use super::failure::Failure;
use super::ids::{PoolName, SlotId};

/// The longest line that is read or written, bytes, including its newline.
///
/// `begin` may list a few thousand backups. A command is about 200 bytes.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// The content of one line.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The job. It goes once round the ring, and each agent adds what it knows.
    Begin(Box<Begin>),
    /// A pool of slots. Its file descriptor travels with the line.
    Pool(PoolLine),
    /// A table of fixed-size entries. Its file descriptor travels with the line.
    Table(TableLine),
    /// An extent.
    Command(Box<Command>),
    /// A segment that is now complete in the store.
    Segment(SegmentLine),
    /// Asks the agent behind the master what there is to do.
    Scan,
    /// The end of the answer to a scan. Holds the number of messages before this one.
    Scanned(u64),
    /// Answers a scan: a segment to check.
    Found(SegmentName),
    /// Asks to check every block of a segment.
    Check(SegmentName),
    /// All blocks of this segment have been sent on.
    Checked(CheckedLine),
    /// Answers a scan: objects that may be deleted.
    Garbage(Vec<String>),
    /// Objects to delete.
    Delete(Vec<String>),
    /// Objects that were deleted.
    Deleted(Vec<String>),
    /// Nothing follows.
    End,
    /// An agent failed and stops.
    Error(Box<Failure>),
    /// Slots that are free again. Goes upstream.
    Release(Vec<SlotId>),
}

/// A pool of shared memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolLine {
    /// The pool's name: the owner's kind and process id.
    pub name: PoolName,
    /// The size of a unit, bytes. Slots start and end at units.
    pub unit_bytes: u32,
    /// The number of units.
    pub units: u32,
}

/// A table in shared memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableLine {
    /// What the table holds.
    pub kind: TableKind,
    /// The number of entries.
    pub entries: u64,
}

/// What a table holds. All entries of a kind have the same size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// The parent's checksums. They become those of the new backup.
    Checksums,
    /// Which blocks an interrupted run has already stored.
    Known,
    /// Where each block is stored. The metawriter does not share this one.
    Map,
}

impl TableKind {
    /// The size of an entry, bytes.
    pub fn entry_bytes(self) -> u32 {
        match self {
            Self::Checksums => CHECKSUM_ENTRY_BYTES,
            Self::Known => 1,
            Self::Map => MAP_ENTRY_BYTES,
        }
    }
}

impl fmt::Display for TableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Checksums => "checksums",
            Self::Known => "known",
            Self::Map => "map",
        })
    }
}

/// A completed segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentLine {
    /// Its number in the backup.
    pub number: u32,
    /// The object's length, bytes.
    pub bytes: u64,
    /// BLAKE3 of its index.
    pub hash: BlockHash,
}

/// A segment's name: the volume and the backup that wrote it, and its number in that backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentName {
    /// The repository in which the segment was written.
    pub repository: Uuid,
    /// The volume whose backup wrote it.
    pub volume: VolumeName,
    /// The backup that wrote it.
    pub backup: BackupId,
    /// Its number in that backup.
    pub number: u32,
    /// The length according to the manifests, bytes.
    pub bytes: u64,
    /// The hash of its index according to the manifests.
    pub hash: BlockHash,
}

impl SegmentName {
    /// What it is called, without what the manifests say of it.
    pub fn id(&self) -> SegmentId {
        SegmentId { volume: self.volume.clone(), backup: self.backup.clone(), number: self.number }
    }
}

/// A segment that was read completely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckedLine {
    /// The volume whose backup wrote it.
    pub volume: VolumeName,
    /// The backup that wrote it.
    pub backup: BackupId,
    /// Its number in that backup.
    pub number: u32,
    /// The number of commands that were sent on for its blocks.
    pub blocks: u64,
    /// Why the segment as a whole can't be read. None if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged: Option<String>,
}

/// Why a line is rejected.
#[derive(Debug, thiserror::Error)]
pub enum BadLine {
    /// Not JSON, or with fields that no line may have.
    #[error("not a valid line: {0}")]
    Json(#[from] serde_json::Error),
    /// The fields do not form a message.
    #[error("not a valid line: {0}")]
    Shape(&'static str),
}

/// Encodes releases without copying the list.
#[derive(Serialize)]
struct ReleaseLine<'a> {
    release: &'a [SlotId],
}

/// Every field that a line may have.
#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shm_id: Option<SlotId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<BlockHash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    codec: Option<Codec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crc32: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volume: Option<VolumeName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<BackupId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment_offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<Vec<SlotId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    begin: Option<Box<Begin>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<PoolLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<TableLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment_done: Option<SegmentLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scan: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scanned: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<SegmentName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<SegmentName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checked: Option<CheckedLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    garbage: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delete: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Box<Failure>>,
}

impl Message {
    /// Appends the message and a newline to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), BadLine> {
        match self {
            Self::Command(command) => serde_json::to_writer(&mut *out, command)?,
            Self::Release(release) => serde_json::to_writer(&mut *out, &ReleaseLine { release })?,
            other => serde_json::to_writer(&mut *out, &other.to_line())?,
        }
        out.push(b'\n');
        Ok(())
    }

    /// Decodes one line, with or without its newline.
    pub fn decode(line: &[u8]) -> Result<Self, BadLine> {
        // Nearly all lines are commands as our agents write them. They skip the struct of all fields, which is large:
        // with it, encoding commands took 1.8 times as long and decoding 1.2 times.
        if line.starts_with(b"{\"offset\":")
            && let Ok(command) = serde_json::from_slice::<Command>(line)
            && command.offset.checked_add(command.size).is_some()
        {
            return Ok(Self::Command(Box::new(command)));
        }
        Self::from_line(serde_json::from_slice(line)?)
    }

    /// Whether a file descriptor travels with the line.
    pub fn carries_fd(&self) -> bool {
        matches!(self, Self::Pool(_) | Self::Table(_))
    }

    fn to_line(&self) -> Line {
        let mut line = Line::default();
        match self.clone() {
            Self::Begin(begin) => line.begin = Some(begin),
            Self::Pool(pool) => line.pool = Some(pool),
            Self::Table(table) => line.table = Some(table),
            Self::Segment(segment) => line.segment_done = Some(segment),
            Self::Scan => line.scan = Some(true),
            Self::Scanned(count) => line.scanned = Some(count),
            Self::Found(name) => line.found = Some(name),
            Self::Check(name) => line.check = Some(name),
            Self::Checked(checked) => line.checked = Some(checked),
            Self::Garbage(keys) => line.garbage = Some(keys),
            Self::Delete(keys) => line.delete = Some(keys),
            Self::Deleted(keys) => line.deleted = Some(keys),
            Self::End => line.end = Some(true),
            Self::Error(failure) => line.error = Some(failure),
            // These two have their own encoding.
            Self::Command(_) | Self::Release(_) => {}
        }
        line
    }

    fn from_line(mut line: Line) -> Result<Self, BadLine> {
        let message = if line.offset.is_some() {
            Self::Command(Box::new(line.take_command()?))
        } else if let Some(slots) = line.release.take() {
            Self::Release(slots)
        } else if let Some(begin) = line.begin.take() {
            Self::Begin(begin)
        } else if let Some(pool) = line.pool.take() {
            Self::Pool(pool)
        } else if let Some(table) = line.table.take() {
            Self::Table(table)
        } else if let Some(segment) = line.segment_done.take() {
            Self::Segment(segment)
        } else if let Some(count) = line.scanned.take() {
            Self::Scanned(count)
        } else if let Some(name) = line.found.take() {
            Self::Found(name)
        } else if let Some(name) = line.check.take() {
            Self::Check(name)
        } else if let Some(checked) = line.checked.take() {
            Self::Checked(checked)
        } else if let Some(keys) = line.garbage.take() {
            Self::Garbage(keys)
        } else if let Some(keys) = line.delete.take() {
            Self::Delete(keys)
        } else if let Some(keys) = line.deleted.take() {
            Self::Deleted(keys)
        } else if let Some(failure) = line.error.take() {
            Self::Error(failure)
        } else if line.scan == Some(true) {
            line.scan = None;
            Self::Scan
        } else if line.end == Some(true) {
            line.end = None;
            Self::End
        } else {
            return Err(BadLine::Shape("it is not a known message"));
        };
        if line == Line::default() { Ok(message) } else { Err(BadLine::Shape("it has the fields of two messages")) }
    }
}

impl Line {
    fn take_command(&mut self) -> Result<Command, BadLine> {
        let offset = self.offset.take().ok_or(BadLine::Shape("a command without an offset"))?;
        let size = self.size.take().ok_or(BadLine::Shape("a command without a size"))?;
        offset.checked_add(size).ok_or(BadLine::Shape("an extent that ends beyond 2^64"))?;
        Ok(Command {
            offset,
            size,
            state: self.state.take().unwrap_or(State::Data),
            shm_id: self.shm_id.take(),
            hash: self.hash.take(),
            codec: self.codec.take(),
            stored: self.stored.take(),
            crc32: self.crc32.take(),
            volume: self.volume.take(),
            backup: self.backup.take(),
            segment: self.segment.take(),
            segment_offset: self.segment_offset.take(),
            reason: self.reason.take(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(text: &str) -> Message {
        let message = Message::decode(text.as_bytes()).unwrap();
        let mut line = Vec::new();
        message.encode(&mut line).unwrap();
        assert_eq!(Message::decode(&line).unwrap(), message);
        message
    }

    #[test]
    fn the_command_of_the_design_is_a_command() {
        let message = through(r#"{"offset":0,"size":4096,"shm_id":"reader_12345_1"}"#);
        let Message::Command(command) = message else { panic!("{message:?}") };
        assert_eq!((command.offset, command.size, command.state), (0, 4096, State::Data));
        assert_eq!(command.shm_id.unwrap().to_string(), "reader_12345_1");
    }

    #[test]
    fn releases_and_ends_round_trip() {
        assert_eq!(through(r#"{"end":true}"#), Message::End);
        let Message::Release(slots) = through(r#"{"release":["reader_1_0","reader_1_5"]}"#) else { panic!() };
        assert_eq!(slots.len(), 2);
    }

    #[test]
    fn garbage_is_refused_and_named() {
        for text in [
            "",
            "{}",
            "[]",
            "garbage",
            r#"{"end":false}"#,
            r#"{"size":1}"#,
            r#"{"offset":1}"#,
            r#"{"offset":-1,"size":1}"#,
            r#"{"offset":18446744073709551615,"size":2}"#,
            r#"{"offset":0,"size":1,"shm_id":"../x"}"#,
            r#"{"offset":0,"size":1,"unknown":1}"#,
            r#"{"offset":0,"size":1,"end":true}"#,
            r#"{"end":true,"scan":false}"#,
        ] {
            assert!(Message::decode(text.as_bytes()).is_err(), "{text} was taken");
        }
    }
}
