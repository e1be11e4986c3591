//! Tests the volumewriter on a file: each state of an extent, a partial restore, and what it rejects.

#![allow(clippy::cast_possible_truncation, reason = "the sizes are the tests' own, and small")]

use std::sync::{Arc, Mutex};

use septet_ipc::test_support::{restore_job, results};
use septet_ipc::{Command, Item, Pool};
use tempfile::TempDir;

use super::*;

const BLOCK: u64 = 65536;
const VOLUME: u64 = 4 * BLOCK;

/// A restore of the bytes `part` to a file, and the pool that the blocks come in.
struct Restore {
    agent: Volumewriter,
    pool: Arc<Pool>,
    folder: TempDir,
}

fn job(folder: &TempDir, part: &Range<u64>) -> RestoreJob {
    RestoreJob {
        target: folder.path().join("target").to_str().unwrap().to_owned(),
        overwrite: true,
        offset_bytes: part.start,
        length_bytes: part.end - part.start,
        volume_bytes: VOLUME,
        ..restore_job()
    }
}

fn begun(job: RestoreJob) -> Result<Volumewriter, Failure> {
    Volumewriter::begin(&mut Begin::Restore(job), &Context::new(AgentKind::Volumewriter))
}

impl Restore {
    /// Restores over a file that is all 0xff, so zeros must really be written.
    fn start(part: Range<u64>) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        std::fs::write(folder.path().join("target"), vec![0xff; VOLUME as usize]).unwrap();
        let agent = begun(job(&folder, &part)).unwrap();
        Self { agent, pool: Pool::create(AgentKind::Decompressor, 65536, 4 * BLOCK).unwrap(), folder }
    }

    fn block(&self, offset: u64, byte: u8, len: usize) -> Work {
        let mut slot = self.pool.take(len).unwrap();
        slot.bytes_mut()[..len].fill(byte);
        let mut work = Work::new(offset, BLOCK, State::Data);
        work.slot = Some(slot.filled(len));
        work
    }

    /// The command that the master gets. By then no slot may be in use.
    fn handled(&self, work: Work) -> Result<Command, Failure> {
        let result = results(|worker| self.agent.handle(work, worker));
        assert_eq!(self.pool.taken(), 0);
        match result?.pop() {
            Some(Item::Work(Work { command, slot: None })) => Ok(command),
            other => panic!("{other:?}"),
        }
    }

    fn target(&self) -> Vec<u8> {
        results(|worker| self.agent.end(worker)).unwrap();
        std::fs::read(self.folder.path().join("target")).unwrap()
    }
}

#[test]
fn data_is_written_holes_and_zeros_become_zeros_and_the_rest_is_left() {
    let restore = Restore::start(0..VOLUME);
    assert_eq!(restore.handled(restore.block(BLOCK, 1, BLOCK as usize)).unwrap().state, State::Data);
    restore.handled(Work::new(0, BLOCK, State::Hole)).unwrap();
    restore.handled(Work::new(2 * BLOCK, BLOCK, State::Zero)).unwrap();
    for state in [State::Present, State::Damaged] {
        assert_eq!(restore.handled(Work::new(3 * BLOCK, BLOCK, state)).unwrap().state, state);
    }
    let expected: Vec<u8> = [0, 1, 0, 0xff].iter().flat_map(|&byte| vec![byte; BLOCK as usize]).collect();
    assert!(restore.target() == expected);
}

/// A target that records what is reserved in it.
#[derive(Default)]
struct Reserved(Arc<Mutex<Vec<(u64, u64)>>>);

impl Target for Reserved {
    fn bytes(&self) -> u64 {
        VOLUME
    }

    fn reserve(&self, offset_bytes: u64, size_bytes: u64) {
        self.0.lock().unwrap().push((offset_bytes, size_bytes));
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<(), septet_volume::VolumeError> {
        Ok(())
    }

    fn zero(&self, _: u64, _: u64) -> Result<(), septet_volume::VolumeError> {
        Ok(())
    }

    fn finish(&self) -> Result<(), septet_volume::VolumeError> {
        Ok(())
    }
}

#[test]
fn room_is_asked_for_when_an_extent_is_announced_and_only_within_the_part() {
    let mut restore = Restore::start(10..2 * BLOCK);
    let target = Reserved::default();
    let reserved = Arc::clone(&target.0);
    restore.agent.target = Box::new(target);
    assert_eq!(restore.handled(Work::new(0, VOLUME, State::Present)).unwrap().state, State::Present);
    restore.handled(restore.block(0, 1, BLOCK as usize)).unwrap();
    restore.handled(Work::new(BLOCK, BLOCK, State::Hole)).unwrap();
    assert_eq!(*reserved.lock().unwrap(), [(10, 2 * BLOCK - 10)]);
}

#[test]
fn a_part_is_cut_to_the_byte() {
    let part = BLOCK + 10..2 * BLOCK + 10;
    let restore = Restore::start(part.clone());
    restore.handled(restore.block(BLOCK, 1, BLOCK as usize)).unwrap();
    restore.handled(Work::new(2 * BLOCK, 2 * BLOCK, State::Hole)).unwrap();
    restore.handled(restore.block(0, 9, BLOCK as usize)).unwrap();
    let (start, middle, end) = (part.start as usize, 2 * BLOCK as usize, part.end as usize);
    let mut expected = vec![0xff; VOLUME as usize];
    expected[start..middle].fill(1);
    expected[middle..end].fill(0);
    assert!(restore.target() == expected);
}

#[test]
fn a_slot_that_is_shorter_than_its_extent_is_refused() {
    let restore = Restore::start(0..VOLUME);
    let failure = restore.handled(restore.block(0, 1, BLOCK as usize - 1)).unwrap_err();
    assert!(failure.cause.contains("shorter than the block that it should hold"), "{failure}");
}

#[test]
fn a_job_that_can_t_be_is_refused() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    assert!(begun(job(&folder, &(0..VOLUME + 1))).is_err(), "beyond the volume's end");
    let wrapped = RestoreJob { offset_bytes: u64::MAX, length_bytes: 2, ..job(&folder, &(0..1)) };
    assert!(begun(wrapped).is_err());
    std::fs::write(folder.path().join("target"), b"precious").unwrap();
    assert!(begun(RestoreJob { overwrite: false, ..job(&folder, &(0..VOLUME)) }).is_err());
    assert_eq!(std::fs::read(folder.path().join("target")).unwrap(), b"precious");
}
