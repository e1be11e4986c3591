//! Tests the datawriter on a real directory: blocks get their places, segments are complete, and slots are released.

use std::sync::Arc;

use septet_format::{BlockHash, Codec, SegmentIndex, SegmentRef, SourceBackup};
use septet_ipc::message::SegmentLine;
use septet_ipc::test_support::{backup_job, results};
use septet_ipc::{BackupJob, Item, Pool};
use septet_repository::Repository;
use tempfile::TempDir;

use super::*;

const BLOCK: u64 = 65536;

/// A running backup, and the pool that its blocks come in.
struct Backup {
    agent: Datawriter,
    repository: Repository,
    job: BackupJob,
    pool: Arc<Pool>,
    _folder: TempDir,
}

impl Backup {
    /// Parts of `pool_bytes / 4`, segments of `segment_bytes`.
    fn start(pool_bytes: u64, segment_bytes: u64) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let repo = folder.path().to_str().unwrap().to_owned();
        let repository = Repository::open_or_create(&repo).unwrap();
        let job = BackupJob {
            repo,
            repository: repository.id(),
            pool_bytes,
            segment_bytes,
            volume_bytes: Some(100 * BLOCK),
            ..backup_job()
        };
        let agent = Datawriter::begin(&mut Begin::Backup(job.clone()), &Context::new(AgentKind::Datawriter)).unwrap();
        Self {
            agent,
            repository,
            job,
            pool: Pool::create(AgentKind::Compressor, 4096, 100 * BLOCK).unwrap(),
            _folder: folder,
        }
    }

    /// A block of `stored` bytes as the compressor would send it.
    fn block(&self, block: u64, stored: usize) -> Work {
        let mut slot = self.pool.take(stored).unwrap();
        slot.bytes_mut()[..stored].fill(u8::try_from(block).unwrap());
        let mut work = Work::new(block * BLOCK, BLOCK, State::Data);
        let slot = slot.filled(stored);
        work.command.hash = Some(BlockHash::of(&block.to_le_bytes()));
        work.command.codec = Some(Codec::Lz4);
        work.command.stored = Some(u32::try_from(stored).unwrap());
        work.command.crc32 = Some(septet_format::crc32(slot.bytes()));
        work.slot = Some(slot);
        work
    }

    fn handled(&self, work: Work) -> Result<Vec<Item>, Failure> {
        results(|worker| self.agent.handle(work, worker))
    }

    fn ended(&self) -> Vec<Item> {
        results(|worker| self.agent.end(worker)).unwrap()
    }

    fn read_first_segment(&self, into: &mut [u8]) {
        let segment = (&self.job.volume, &self.job.backup, 0);
        self.repository.read_segment(segment, 0, into).unwrap();
    }

    /// The index of the segment that `line` names, read and checked from the store.
    fn index(&self, line: &SegmentLine) -> SegmentIndex {
        let segment = SegmentRef { number: line.number, bytes: line.bytes, hash: line.hash, live_bytes: 0 };
        let (volume, backup) = (self.job.volume.clone(), self.job.backup.clone());
        let source = SourceBackup { repository: self.repository.id(), volume, backup, segments: vec![segment] };
        self.repository.segment_index(&source, &segment).unwrap()
    }
}

fn place(items: &[Item]) -> (u32, u64) {
    match items {
        [Item::Work(Work { command, slot: None }), ..] => (command.segment.unwrap(), command.segment_offset.unwrap()),
        other => panic!("{other:?}"),
    }
}

fn done(items: &[Item]) -> Option<&SegmentLine> {
    items.iter().find_map(|item| if let Item::Message(Message::Segment(line)) = item { Some(line) } else { None })
}

#[test]
fn blocks_lie_one_behind_the_other_in_the_order_in_which_they_came() {
    let backup = Backup::start(1 << 20, 1 << 20);
    assert_eq!(place(&backup.handled(backup.block(7, 5000)).unwrap()), (0, 0));
    assert_eq!(place(&backup.handled(backup.block(3, 100)).unwrap()), (0, 8192));
    assert_eq!(backup.pool.taken(), 2, "the slots stay until the part is written");
    let items = backup.ended();
    assert_eq!(backup.pool.taken(), 0);
    let index = backup.index(done(&items).unwrap());
    let entries: Vec<_> =
        index.entries.iter().map(|entry| (entry.block, entry.offset_bytes, entry.stored_bytes)).collect();
    assert_eq!(entries, vec![(7, 0, 5000), (3, 8192, 100)]);
    let mut stored = [0; 8292];
    backup.read_first_segment(&mut stored);
    assert!(stored[..5000] == [7; 5000] && stored[5000..8192] == [0; 3192] && stored[8192..] == [3; 100]);
}

#[test]
fn what_is_gathered_is_let_go_when_nothing_comes_and_is_stored_all_the_same() {
    let backup = Backup::start(1 << 20, 1 << 20);
    for block in 0..9 {
        backup.handled(backup.block(block, 5000)).unwrap();
        if block % 2 == 1 {
            backup.agent.let_go();
            assert_eq!(backup.pool.taken(), 0);
            backup.agent.let_go();
        }
    }
    assert_eq!(backup.pool.taken(), 1);
    backup.index(done(&backup.ended()).unwrap());
    let mut stored = [0; 9 * 8192];
    backup.read_first_segment(&mut stored);
    for (block, stored) in (0..).zip(stored.chunks(8192)) {
        assert!(stored[..5000] == [block; 5000] && stored[5000..] == [0; 3192], "block {block}");
    }
}

#[test]
fn while_a_part_is_being_written_its_slots_are_waited_for() {
    let backup = Backup::start(1 << 20, 1 << 20);
    backup.handled(backup.block(0, 5000)).unwrap();
    backup.agent.writing.store(1, Relaxed);
    backup.agent.let_go();
    assert_eq!(backup.pool.taken(), 1);
    backup.agent.writing.store(0, Relaxed);
    backup.agent.let_go();
    assert_eq!(backup.pool.taken(), 0);
}

#[test]
fn a_part_is_written_when_it_is_a_quarter_of_the_pool() {
    let backup = Backup::start(4 * 3 * 4096, 1 << 20);
    for (block, taken) in [(0, 1), (1, 2), (2, 0), (3, 1)] {
        assert_eq!(done(&backup.handled(backup.block(block, 4096)).unwrap()), None);
        assert_eq!(backup.pool.taken(), taken, "after block {block}");
    }
}

#[test]
fn a_full_segment_is_closed_and_the_next_begun() {
    let backup = Backup::start(1 << 20, 2 * 4096);
    backup.handled(backup.block(0, 4096)).unwrap();
    let items = backup.handled(backup.block(1, 4096)).unwrap();
    assert_eq!(backup.index(done(&items).unwrap()).entries.len(), 2);
    assert_eq!(backup.pool.taken(), 0);
    assert_eq!(place(&backup.handled(backup.block(2, 4096)).unwrap()), (1, 0));
    assert_eq!(done(&backup.ended()).unwrap().number, 1);
}

#[test]
fn what_is_not_stored_passes_and_makes_no_segment() {
    let backup = Backup::start(1 << 20, 1 << 20);
    for state in [State::Hole, State::Zero, State::Kept, State::Unchanged, State::Present] {
        let items = backup.handled(Work::new(0, BLOCK, state)).unwrap();
        assert!(
            matches!(&items[..], [Item::Work(work)] if work.command.state == state && work.command.segment.is_none())
        );
    }
    assert!(backup.ended().is_empty());
    assert!(backup.repository.objects_of(&backup.job.volume).unwrap().is_empty());
}

#[test]
fn a_block_of_which_something_is_not_known_is_refused_and_its_slot_is_free() {
    let backup = Backup::start(1 << 20, 1 << 20);
    let spoils: [fn(&mut Work); 3] =
        [|work| work.command.hash = None, |work| work.command.codec = None, |work| work.command.crc32 = None];
    for spoil in spoils {
        let mut work = backup.block(0, 100);
        spoil(&mut work);
        assert!(backup.handled(work).unwrap_err().cause.contains("for a block to store has no"));
        assert_eq!(backup.pool.taken(), 0);
    }
}
