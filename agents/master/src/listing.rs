//! The plan of a verification and of a deletion: ask what there is to do, then send it out.
//!
//! The answer is a list of messages (segments to check, batches of objects to delete) and their number, because they
//! may come in any order. Each is sent out as a separate command, a few at a time. The answer for a checked segment
//! says how many blocks were sent. The segment is done when all of them have come.

use std::collections::VecDeque;

use septet_ipc::message::CheckedLine;
use septet_ipc::message::{Damage, Progress};
use septet_ipc::{Command, Failure, Message, State};

use crate::extents::damage;
use crate::{Plan, Step};

/// The plan and its state.
pub struct ListingPlan {
    /// The number of answers, once it is known.
    announced: Option<u64>,
    answers: u64,
    waiting: VecDeque<Message>,
    under_way: u64,
    under_way_max: u64,
    /// The number of blocks that checked segments have sent, minus the number that have come.
    blocks_missing: i64,
    progress: Progress,
}

impl ListingPlan {
    /// A plan that keeps `parallel` commands in flight.
    pub fn new(parallel: u32) -> Self {
        Self {
            announced: None,
            answers: 0,
            waiting: VecDeque::new(),
            under_way: 0,
            under_way_max: u64::from(parallel.max(1)),
            blocks_missing: 0,
            progress: Progress::default(),
        }
    }

    fn found(&mut self, command: Message) {
        self.answers += 1;
        self.progress.bytes_total += bytes_of(&command);
        self.waiting.push_back(command);
    }

    fn hand_out(&mut self) -> Vec<Message> {
        let room = self.under_way_max.saturating_sub(self.under_way);
        let count = usize::try_from(room).unwrap_or(usize::MAX).min(self.waiting.len());
        self.under_way += count as u64;
        self.waiting.drain(..count).collect()
    }

    fn finished_one(&mut self) -> Result<(), Failure> {
        self.under_way = self
            .under_way
            .checked_sub(1)
            .ok_or_else(|| Failure::protocol("more answers came back than commands were sent"))?;
        Ok(())
    }

    fn checked(&mut self, line: CheckedLine) -> Result<Option<Damage>, Failure> {
        self.finished_one()?;
        self.blocks_missing += i64::try_from(line.blocks).map_err(Failure::protocol)?;
        self.progress.objects += 1;
        Ok(line.damaged.map(|reason| Damage {
            volume: Some(line.volume),
            backup: Some(line.backup),
            segment: Some(line.number),
            segment_offset: None,
            offset: 0,
            size: 0,
            reason,
        }))
    }

    fn block(&mut self, command: Command) -> Option<Damage> {
        self.blocks_missing -= 1;
        self.progress.bytes_done += command.stored_bytes();
        if command.state == State::Data {
            self.progress.blocks_data += 1;
            self.progress.bytes_read += command.size;
        }
        damage(command)
    }
}

fn bytes_of(command: &Message) -> u64 {
    match command {
        Message::Check(segment) => segment.bytes,
        _ => 0,
    }
}

impl Plan for ListingPlan {
    fn start(&mut self) -> Result<Step, Failure> {
        Ok(Step::commands(vec![Message::Scan]))
    }

    fn on(&mut self, message: Message) -> Result<Step, Failure> {
        let mut damage = None;
        match message {
            Message::Scanned(count) => self.announced = Some(count),
            Message::Found(segment) => self.found(Message::Check(segment)),
            Message::Garbage(keys) => self.found(Message::Delete(keys)),
            Message::Checked(line) => damage = self.checked(line)?,
            Message::Command(command) => damage = self.block(*command),
            Message::Deleted(keys) => {
                self.finished_one()?;
                self.progress.objects += keys.len() as u64;
            }
            other => return Err(Failure::protocol(format!("the master received an unexpected message: {other:?}"))),
        }
        Ok(Step { commands: self.hand_out(), damage: damage.into_iter().collect() })
    }

    fn is_done(&self) -> bool {
        self.announced == Some(self.answers)
            && self.waiting.is_empty()
            && self.under_way == 0
            && self.blocks_missing == 0
    }

    fn progress(&self) -> &Progress {
        &self.progress
    }
}

#[cfg(test)]
mod tests {
    use septet_format::BlockHash;
    use septet_ipc::message::SegmentName;

    use super::*;

    fn segment(number: u32) -> SegmentName {
        let (repository, volume, backup) = (uuid::Uuid::nil(), "v".parse().unwrap(), "b".parse().unwrap());
        SegmentName { repository, volume, backup, number, bytes: 10, hash: BlockHash::ZERO }
    }

    fn checked(number: u32, blocks: u64) -> Message {
        let SegmentName { volume, backup, .. } = segment(number);
        Message::Checked(CheckedLine { volume, backup, number, blocks, damaged: None })
    }

    fn block() -> Message {
        Message::Command(Box::new(Command::new(0, 4096, State::Data)))
    }

    #[test]
    fn a_verification_waits_for_every_block_though_they_overtake_the_count() {
        let mut plan = ListingPlan::new(1);
        assert_eq!(plan.start().unwrap().commands, vec![Message::Scan]);
        plan.on(Message::Scanned(2)).unwrap();
        assert_eq!(plan.on(Message::Found(segment(0))).unwrap().commands, vec![Message::Check(segment(0))]);
        assert!(plan.on(Message::Found(segment(1))).unwrap().commands.is_empty(), "one at a time");
        plan.on(block()).unwrap();
        assert_eq!(plan.on(checked(0, 2)).unwrap().commands, vec![Message::Check(segment(1))]);
        plan.on(checked(1, 0)).unwrap();
        assert!(!plan.is_done(), "a block is still under way");
        plan.on(block()).unwrap();
        assert!(plan.is_done());
    }

    #[test]
    fn nothing_to_delete_is_done_at_once() {
        let mut plan = ListingPlan::new(4);
        plan.start().unwrap();
        assert!(!plan.is_done());
        plan.on(Message::Scanned(0)).unwrap();
        assert!(plan.is_done());
    }

    #[test]
    fn what_was_never_handed_out_can_t_come_back() {
        assert!(ListingPlan::new(1).on(checked(0, 0)).is_err());
    }
}
