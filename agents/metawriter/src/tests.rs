//! Tests the metawriter on a real directory: the committed backup says what the metawriter was sent.

use septet_format::{BackupRef, BlockHash, Codec, Location, Manifest, Pending};
use septet_ipc::test_support::{backup_job, results};
use septet_ipc::{Command, Item};
use septet_repository::{BlockIndex, markers, pending};
use tempfile::TempDir;

use septet_format::BlockCounts;
use septet_ipc::message::SegmentLine;

use super::*;

const BLOCK: u64 = 65536;
const BLOCKS: u64 = 4;

/// A repository in which backups of one volume are made.
struct Place {
    repository: Repository,
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let repository = Repository::open_or_create(folder.path().to_str().unwrap()).unwrap();
        Self { repository, folder }
    }

    fn job(&self, backup: &str, parent: Option<&str>) -> BackupJob {
        BackupJob {
            source: "/dev/vol".to_owned(),
            repo: self.folder.path().to_str().unwrap().to_owned(),
            repository: self.repository.id(),
            backup: backup.parse().unwrap(),
            parent: parent.map(|parent| self.manifest(parent).reference()),
            volume_bytes: Some(BLOCKS * BLOCK),
            ..backup_job()
        }
    }

    fn begin(&self, backup: &str, parent: Option<&str>) -> Metawriter {
        // It may exist from the previous run.
        let _ = pending::create(&self.repository, &self.marker(backup, 0));
        begun(self.job(backup, parent)).unwrap()
    }

    fn marker(&self, backup: &str, attempt: u32) -> Pending {
        let (by, name) = (septet_repository::current_process(), (&"v".parse().unwrap(), &backup.parse().unwrap()));
        let marker = pending::marker(&self.repository, by, jiff::Timestamp::now(), name, None);
        Pending { attempt, ..marker }
    }

    /// Records blocks 1 and 2 as data, 0 as a hole and 3 as zeros.
    fn full(&self) {
        let agent = self.begin("full", None);
        for work in [extent(0, 1, State::Hole), stored(1, b"one", 0), stored(2, b"two", 0), extent(3, 1, State::Zero)] {
            handled(&agent, work).unwrap();
        }
        tell(&agent, 0);
        results(|worker| agent.end(worker)).unwrap();
    }

    fn manifest(&self, backup: &str) -> Manifest {
        self.repository.manifest(&"v".parse().unwrap(), &backup.parse().unwrap()).unwrap()
    }

    /// The location and the hash of each block of a backup.
    fn located(&self, backup: &str) -> Vec<Option<(Location, BlockHash)>> {
        let index = BlockIndex::open(&self.repository, self.manifest(backup)).unwrap();
        (0..BLOCKS).map(|block| index.locate(block).unwrap()).collect()
    }
}

fn begun(job: BackupJob) -> Result<Metawriter, Failure> {
    Metawriter::begin(&mut Begin::Backup(job), &Context::new(AgentKind::Metawriter))
}

fn extent(block: u64, blocks: u64, state: State) -> Work {
    Work::new(block * BLOCK, blocks * BLOCK, state)
}

/// A block to which the datawriter has assigned the place of its own number.
fn stored(block: u64, content: &[u8], segment: u32) -> Work {
    let mut work = extent(block, 1, State::Data);
    work.command.hash = Some(BlockHash::of(content));
    work.command.codec = Some(Codec::Lz4);
    work.command.stored = Some(100);
    work.command.crc32 = Some(1);
    work.command.segment = Some(segment);
    work.command.segment_offset = Some(block * 4096);
    work
}

fn handled(agent: &Metawriter, work: Work) -> Result<Command, Failure> {
    let mut items = results(|worker| agent.handle(work, worker))?;
    match items.pop() {
        Some(Item::Work(Work { command, slot: None })) => Ok(command),
        other => panic!("{other:?}"),
    }
}

/// Reports a segment as complete.
fn tell(agent: &Metawriter, number: u32) {
    let line = SegmentLine { number, bytes: 1 << 16, hash: BlockHash::of(b"index") };
    let items = results(|worker| agent.message(Message::Segment(line), worker)).unwrap();
    assert!(items.is_empty(), "the master has no use for it");
}

#[test]
fn a_full_backup_has_what_was_stored_and_nothing_else() {
    let place = Place::new();
    place.full();
    let manifest = place.manifest("full");
    assert_eq!(manifest.blocks, BlockCounts { data: 2, zero: 1, hole: 1, unchanged: 0 });
    assert_eq!(manifest.bytes_read, 3 * BLOCK);
    assert_eq!(manifest.sources[0].segments[0].live_bytes, 2 * 4096);
    let located = place.located("full");
    assert_eq!((&located[0], &located[3]), (&None, &None));
    let (location, hash) = located[1].unwrap();
    assert_eq!((location.offset_bytes, location.stored_bytes, location.codec), (4096, 100, Codec::Lz4));
    assert_eq!(hash, BlockHash::of(b"one"));
}

#[test]
fn an_incremental_names_its_parents_blocks_and_loses_those_that_are_gone() {
    let place = Place::new();
    place.full();
    let agent = place.begin("incremental", Some("full"));
    for work in [stored(0, b"new", 0), extent(1, 1, State::Unchanged), extent(2, 2, State::Hole)] {
        handled(&agent, work).unwrap();
    }
    tell(&agent, 0);
    results(|worker| agent.end(worker)).unwrap();
    let manifest = place.manifest("incremental");
    let rows: Vec<_> = manifest
        .segment_rows()
        .map(|(row, source, segment)| (row, source.backup.to_string(), segment.live_bytes))
        .collect();
    assert_eq!(rows, vec![(0, "full".to_owned(), 4096), (1, "incremental".to_owned(), 4096)]);
    let located = place.located("incremental");
    assert_eq!(located[0].map(|(location, hash)| (location.segment, hash)), Some((1, BlockHash::of(b"new"))));
    assert_eq!(located[1], place.located("full")[1]);
    assert_eq!((&located[2], &located[3]), (&None, &None));
}

#[test]
fn a_segment_of_which_nothing_is_left_is_not_named() {
    let place = Place::new();
    place.full();
    let agent = place.begin("incremental", Some("full"));
    handled(&agent, stored(1, b"new", 0)).unwrap();
    handled(&agent, extent(0, 1, State::Hole)).unwrap();
    handled(&agent, extent(2, 2, State::Hole)).unwrap();
    tell(&agent, 0);
    results(|worker| agent.end(worker)).unwrap();
    let sources: Vec<_> =
        place.manifest("incremental").sources.iter().map(|source| source.backup.to_string()).collect();
    assert_eq!(sources, vec!["incremental"]);
    assert_eq!(place.located("incremental")[1].unwrap().0.segment, 0);
}

#[test]
fn the_master_gets_what_it_counts() {
    let place = Place::new();
    let command = handled(&place.begin("b", None), stored(1, b"one", 0)).unwrap();
    let mut expected = Command::new(BLOCK, BLOCK, State::Data);
    expected.stored = Some(100);
    assert_eq!(command, expected);
}

#[test]
fn a_backup_that_is_not_whole_is_never_committed() {
    let place = Place::new();
    let missing_segment = place.begin("b", None);
    for work in [extent(0, 3, State::Hole), stored(3, b"x", 1)] {
        handled(&missing_segment, work).unwrap();
    }
    tell(&missing_segment, 1);
    let missing_blocks = place.begin("b", None);
    handled(&missing_blocks, extent(0, 3, State::Hole)).unwrap();
    for agent in [missing_segment, missing_blocks] {
        results(|worker| agent.end(worker)).unwrap_err();
        assert!(!place.repository.exists(&"v".parse().unwrap(), &"b".parse().unwrap()).unwrap());
    }
}

#[test]
fn an_id_that_exists_is_not_written_over() {
    let place = Place::new();
    place.full();
    let before = place.manifest("full");
    let agent = place.begin("full", None);
    handled(&agent, extent(0, 4, State::Hole)).unwrap();
    results(|worker| agent.end(worker)).unwrap_err();
    assert_eq!(place.manifest("full"), before);
}

#[test]
fn an_attempt_that_was_taken_over_does_not_commit_and_its_successor_does() {
    let place = Place::new();
    let before = place.begin("b", None);
    let (volume, backup) = ("v".parse().unwrap(), "b".parse().unwrap());
    let marker = markers::read(&place.repository, &volume, &backup).unwrap().unwrap();
    pending::resume(&place.repository, &marker, &place.marker("b", 1), None).unwrap();
    let next = begun(BackupJob { attempt: 1, ..place.job("b", None) }).unwrap();
    let first = 1 << 20;
    handled(&before, stored(3, b"before", 0)).unwrap();
    handled(&next, stored(3, b"next", first)).unwrap();
    assert!(handled(&next, stored(2, b"next", 0)).is_err(), "a number of the attempt before");
    for (agent, number) in [(&before, 0), (&next, first)] {
        handled(agent, extent(0, 3, State::Hole)).unwrap();
        tell(agent, number);
    }
    let error = results(|worker| before.end(worker)).unwrap_err().to_string();
    assert!(error.contains("considered this run dead"), "{error}");
    results(|worker| next.end(worker)).unwrap();
    let manifest = place.manifest("b");
    assert_eq!((manifest.generation, manifest.map.generation, manifest.rows()), (1, 1, 1));
    assert_eq!(manifest.sources[0].segments[0].number, first);
    assert_eq!(place.located("b")[3].map(|(_, hash)| hash), Some(BlockHash::of(b"next")));
    assert!(results(|worker| before.end(worker)).is_err(), "also later");
}

#[test]
fn commands_that_can_t_be_are_refused() {
    let place = Place::new();
    let agent = place.begin("b", None);
    assert!(handled(&agent, extent(4, 1, State::Hole)).is_err(), "beyond the volume");
    assert!(handled(&agent, extent(0, 1, State::Kept)).is_err(), "there is no parent");
    let spoils: [fn(&mut Command); 3] =
        [|command| command.hash = None, |command| command.segment = None, |command| command.segment_offset = None];
    for spoil in spoils {
        let mut work = stored(1, b"one", 0);
        spoil(&mut work.command);
        assert!(handled(&agent, work).is_err());
    }
}

#[test]
fn a_parent_that_is_not_comparable_is_refused() {
    let place = Place::new();
    place.full();
    let unknown = BackupRef { backup: "unknown".parse().unwrap(), ..place.manifest("full").reference() };
    assert!(begun(BackupJob { parent: Some(unknown), ..place.job("b", None) }).is_err());
    assert!(begun(BackupJob { block_bytes: 131_072, ..place.job("b", Some("full")) }).is_err());
    assert!(begun(BackupJob { volume_bytes: None, ..place.job("b", None) }).is_err());
}
