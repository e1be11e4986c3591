//! The cost of a backup's messages. All lines for a block go round the ring through real sockets, encoded and decoded
//! by the agents' own code.
//!
//! Both ends run in one thread, so its CPU clock sees everything.

use std::hint::black_box;

use anyhow::anyhow;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use septet_format::{BlockHash, Codec};
use septet_ipc::message::{Receiver, Sender};
use septet_ipc::{AgentKind, Command, Failure, Message, PoolName, SlotId, State};
use serde::Serialize;

use crate::bare::Work;
use crate::cpu::thread_seconds;
use crate::data::Kind;
use crate::rounds::Rows;
use crate::stats::Spread;
use crate::step::Step;
use crate::units::BLOCK_BYTES;

/// Messages may take this share of a run's CPU time.
pub(crate) const SHARE_AT_MOST: f64 = 0.01;

/// The CPU time of the messages for one block of data, µs.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Messages {
    /// Encoding and decoding.
    pub(crate) codec_us: f64,
    /// The same, with a write and a read for each message. An upper limit: several messages may be sent at once.
    pub(crate) sent_us: f64,
}

/// The maximum share of messages in a full backup of one kind of volume.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Share {
    pub(crate) kind: Kind,
    /// Of the run's CPU time.
    pub(crate) share: Spread,
    pub(crate) met: bool,
}

impl Messages {
    /// Measures with `blocks` blocks.
    ///
    /// # Errors
    /// Sockets cannot be created.
    pub(crate) fn measure(blocks: u32) -> anyhow::Result<Self> {
        let us_per_block = |seconds: f64| seconds * 1e6 / f64::from(blocks);
        let start = thread_seconds();
        code(blocks)?;
        let coded = thread_seconds();
        send(blocks)?;
        let sent = thread_seconds();
        Ok(Self { codec_us: us_per_block(coded - start), sent_us: us_per_block(sent - coded) })
    }

    /// The share in `tool`'s full backups of volumes of this kind; `None` if there are none.
    pub(crate) fn share(&self, rows: &Rows, tool: &str, kind: Kind) -> Option<Share> {
        let messages =
            rows.bare(kind, Work::Blake3).map(|bare| bare.bytes as f64 / BLOCK_BYTES as f64 * self.sent_us / 1e6);
        let share =
            Spread::of(rows.costs(tool, kind, Step::Full).zip(messages).map(|(cost, messages)| messages / cost.cpu()))?;
        Some(Share { kind, share, met: share.median <= SHARE_AT_MOST })
    }
}

fn code(blocks: u32) -> anyhow::Result<()> {
    let mut line = Vec::new();
    for message in (0..blocks).flat_map(block_messages) {
        line.clear();
        message.encode(&mut line)?;
        black_box(Message::decode(&line)?);
    }
    Ok(())
}

fn send(blocks: u32) -> anyhow::Result<()> {
    let (a, b) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let (sender, mut receiver) = (Sender::new(a), Receiver::new(b));
    for message in (0..blocks).flat_map(block_messages) {
        sender.send(&message).map_err(failed)?;
        receiver.receive().map_err(failed)?.ok_or_else(|| anyhow!("a message was lost"))?;
    }
    Ok(())
}

fn failed(failure: Failure) -> anyhow::Error {
    anyhow!("{failure}")
}

/// The lines for a block that is read, hashed, compressed and stored: one for each hop.
fn block_messages(block: u32) -> Vec<Message> {
    let slot = |agent, unit| SlotId { pool: PoolName { agent, pid: 12345 }, unit };
    let (read, packed) = (slot(AgentKind::Reader, block % 64), slot(AgentKind::Compressor, block % 8192));
    let mut command = Command::new(u64::from(block) * BLOCK_BYTES as u64, BLOCK_BYTES as u64, State::Data);
    let asked = command.clone();
    command.shm_id = Some(read);
    let filled = command.clone();
    command.hash = Some(BlockHash::of(&block.to_le_bytes()));
    let hashed = command.clone();
    command.shm_id = Some(packed);
    (command.codec, command.stored, command.crc32) = (Some(Codec::Lz4), Some(543_210), Some(3_210_987_654));
    let compressed = command.clone();
    command.shm_id = None;
    (command.segment, command.segment_offset) = (Some(block / 128), Some(u64::from(block % 128) * 544_768));
    let stored = command;
    let down = [asked, filled, hashed.clone(), hashed, compressed, stored.clone(), stored];
    // The reader's slot is released through diff and checksum, the compressor's by its neighbour.
    let up = [read, read, read, packed].map(|slot| Message::Release(vec![slot]));
    down.into_iter().map(|command| Message::Command(Box::new(command))).chain(up).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_goes_once_round_the_ring_and_frees_both_its_slots() {
        let messages = block_messages(7);
        let commands = messages.iter().filter(|message| matches!(message, Message::Command(_))).count();
        assert_eq!((commands, messages.len()), (7, 11));
    }

    #[test]
    fn every_message_is_coded_and_arrives() {
        let messages = Messages::measure(20).unwrap();
        assert!(messages.codec_us > 0.0 && messages.sent_us > 0.0, "{messages:?}");
    }
}
