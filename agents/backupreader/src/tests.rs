//! Tests the backupreader on a real directory with one backup: three stored blocks, a hole between them, and the damage
//! that a test adds.

#![allow(clippy::cast_possible_truncation, reason = "the sizes are the tests' own, and small")]

use std::path::PathBuf;

use septet_format::{
    BackupId, BlockCounts, BlockHash, Codec, FORMAT_VERSION, Features, Geometry, IndexEntry, Location, Machine,
    Manifest, STORE_ALIGN, SegmentIndex, SegmentRef, Source, SourceBackup, VolumeName, keys,
};
use septet_ipc::message::{CheckedLine, SegmentName};
use septet_ipc::test_support::{restore_job, results, verify_job};
use septet_ipc::{Item, Pool, RestoreJob, VerifyJob};
use septet_repository::{NewTable, Repository, RepositoryError, SegmentSink, TableKind};
use tempfile::TempDir;

use super::*;

const BLOCK: u64 = 65536;
/// Block 1 is a hole, and the last block is short. They are stored in this order.
const STORED: [u64; 3] = [3, 0, 2];
const VOLUME: u64 = 3 * BLOCK + 1000;

fn content(block: u64) -> Vec<u8> {
    let len = BLOCK.min(VOLUME - block * BLOCK);
    (0..len).map(|at| u8::try_from((at + block) % 251).unwrap()).collect()
}

/// The repository and the content of its backup.
struct Place {
    folder: TempDir,
    segment: SegmentRef,
    places: Vec<Option<Location>>,
}

fn volume() -> VolumeName {
    "v".parse().unwrap()
}

fn backup() -> BackupId {
    "b".parse().unwrap()
}

impl Place {
    fn new() -> Self {
        Self::aligned(STORE_ALIGN)
    }

    /// The same where blocks and index are aligned to `align_bytes`.
    fn aligned(align_bytes: u64) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let repository = Repository::open_or_create(folder.path().to_str().unwrap()).unwrap();
        let geometry = Geometry::new(VOLUME, 65536).unwrap();
        let (mut object, mut entries, mut places) = (Vec::new(), Vec::new(), vec![None; 4]);
        for block in STORED {
            let (content, offset_bytes) = (content(block), object.len() as u64);
            let stored_bytes = u32::try_from(content.len()).unwrap();
            let hash = BlockHash::of(&content);
            entries.push(IndexEntry { block, hash, offset_bytes, stored_bytes, codec: Codec::Raw, crc32: 0 });
            places[block as usize] = Some(Location { segment: 0, offset_bytes, stored_bytes, codec: Codec::Raw });
            object.extend_from_slice(&content);
            object.resize(object.len().next_multiple_of(align_bytes as usize), 0);
        }
        let live_bytes = object.len() as u64;
        let index = SegmentIndex {
            repository: repository.id(),
            volume: volume(),
            backup: backup(),
            number: 0,
            geometry,
            align_bytes,
            entries,
        };
        let (tail, hash) = index.encode(live_bytes);
        object.extend_from_slice(&tail);
        let segment = SegmentRef { number: 0, bytes: object.len() as u64, hash, live_bytes };
        let upload = SegmentSink::open(&repository.url()).unwrap().new_segment(&volume(), &backup(), 0).unwrap();
        upload.put_part(0, 0, vec![object.into()]).unwrap();
        upload.finish().unwrap();
        commit(&repository, geometry, segment, &places);
        Self { folder, segment, places }
    }

    fn repository(&self) -> Repository {
        Repository::open(self.folder.path().to_str().unwrap()).unwrap()
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.path().join(key)
    }

    /// Flips a byte of a stored block.
    fn damage(&self, block: u64) {
        let path = self.path(&keys::segment(&volume(), &backup(), 0));
        let mut object = std::fs::read(&path).unwrap();
        object[self.places[block as usize].unwrap().offset_bytes as usize] ^= 1;
        std::fs::write(path, object).unwrap();
    }

    fn restore(&self, keep_going: bool) -> Backupreader {
        let job = RestoreJob {
            repo: self.folder.path().to_str().unwrap().to_owned(),
            repository: self.repository().id(),
            volume: volume(),
            backup: self.repository().manifest(&volume(), &backup()).unwrap().reference(),
            keep_going,
            length_bytes: VOLUME,
            volume_bytes: VOLUME,
            pool_bytes: 1 << 20,
            ..restore_job()
        };
        Backupreader::begin(&mut Begin::Restore(job), &Context::new(AgentKind::Backupreader)).unwrap()
    }

    fn verify(&self) -> Backupreader {
        let (repo, repository) = (self.folder.path().to_str().unwrap().to_owned(), self.repository().id());
        let backups = vec![backup(), backup()];
        let job = VerifyJob { repo, repository, volume: volume(), backups, pool_bytes: 1 << 20, ..verify_job() };
        Backupreader::begin(&mut Begin::Verify(job), &Context::new(AgentKind::Backupreader)).unwrap()
    }

    fn name(&self) -> SegmentName {
        let repository = self.repository().id();
        let SegmentRef { number, bytes, hash, .. } = self.segment;
        SegmentName { repository, volume: volume(), backup: backup(), number, bytes, hash }
    }
}

/// Writes the tables and the manifest.
fn commit(repository: &Repository, geometry: Geometry, segment: SegmentRef, places: &[Option<Location>]) {
    let put = |kind: TableKind, entry_bytes: u64, content: Vec<u8>| {
        let read = |first: u64, into: &mut [u8]| {
            let start = usize::try_from(first * entry_bytes).unwrap();
            into.copy_from_slice(&content[start..][..into.len()]);
            Ok::<_, RepositoryError>(())
        };
        let (volume, backup, entries) = (&volume(), &backup(), geometry.blocks());
        repository.put_table(NewTable { volume, backup, generation: 0, kind, entries }, read, || {}).unwrap()
    };
    let hash = |(block, place): (usize, &Option<Location>)| match place {
        Some(_) => *BlockHash::of(&content(block as u64)).as_bytes(),
        None => [0; 32],
    };
    let checksums = places.iter().enumerate().flat_map(hash).collect();
    let map = places.iter().flat_map(|place| Location::encode(place.as_ref())).collect();
    let checksums = put(TableKind::Checksums, 32, checksums);
    let map = put(TableKind::Map, 12, map);
    let manifest = Manifest {
        format: FORMAT_VERSION,
        needs_to_read: Features::of_this_version(),
        needs_to_write: Features::of_this_version(),
        repository: repository.id(),
        volume: volume(),
        backup: backup(),
        generation: 0,
        parent: None,
        sequence: 1,
        created: "2026-11-21T23:37:03Z".parse().unwrap(),
        machine: Machine::default(),
        source: Source::default(),
        tool: String::new(),
        volume_bytes: VOLUME,
        block_bytes: 65536,
        compression: "none".to_owned(),
        hash: "blake3".to_owned(),
        blocks: BlockCounts { data: 3, zero: 0, hole: 1, unchanged: 0 },
        bytes_read: 0,
        bytes_stored: 0,
        seconds: 0.0,
        checksums,
        map,
        sources: vec![SourceBackup {
            repository: repository.id(),
            volume: volume(),
            backup: backup(),
            segments: vec![segment],
        }],
        tracking: None,
        extensions: std::collections::BTreeMap::new(),
    };
    repository.commit(&manifest).unwrap();
}

fn pool(agent: &Backupreader) -> &Pool {
    match &agent.task {
        Task::Restore(restore) => &restore.pool,
        Task::Verify(verify) => &verify.pool,
    }
}

fn handled(agent: &Backupreader, offset: u64, size: u64, state: State) -> Result<Vec<Work>, Failure> {
    Ok(work(results(|worker| agent.handle(Work::new(offset, size, state), worker))?))
}

/// The extents among the items, sorted by their offset in the volume.
fn work(items: Vec<Item>) -> Vec<Work> {
    let mut work: Vec<_> =
        items.into_iter().filter_map(|item| if let Item::Work(work) = item { Some(work) } else { None }).collect();
    work.sort_by_key(|work| work.command.offset);
    work
}

fn told(agent: &Backupreader, message: Message) -> Vec<Item> {
    results(|worker| agent.message(message, worker)).unwrap()
}

#[test]
fn a_question_is_answered_by_what_is_stored_and_what_is_not() {
    let place = Place::new();
    let answers = handled(&place.restore(false), 0, VOLUME, State::Map).unwrap();
    let answers: Vec<_> =
        answers.iter().map(|work| (work.command.offset, work.command.size, work.command.state)).collect();
    let (present, hole) = (State::Present, State::Hole);
    assert_eq!(answers, vec![(0, BLOCK, present), (BLOCK, BLOCK, hole), (2 * BLOCK, BLOCK + 1000, present)]);
}

#[test]
fn one_request_brings_every_block_in_a_slot_of_its_own() {
    let place = Place::new();
    let agent = place.restore(false);
    let mut blocks = handled(&agent, 0, VOLUME, State::Data).unwrap();
    assert_eq!(
        blocks.iter().map(|work| work.command.state).collect::<Vec<_>>(),
        vec![State::Data, State::Zero, State::Data, State::Data]
    );
    for (number, work) in (0..).zip(&blocks).filter(|(number, _)| *number != 1) {
        assert!(work.bytes().unwrap() == content(number), "block {number}");
        assert_eq!(work.command.hash, Some(BlockHash::of(&content(number))));
        assert_eq!((work.command.codec, work.command.stored_bytes()), (Some(Codec::Raw), work.command.size));
    }
    while blocks.pop().is_some() {
        let with_bytes = blocks.iter().filter(|work| work.slot.is_some()).count();
        assert_eq!(pool(&agent).taken(), with_bytes, "each slot is free on its own");
    }
}

#[test]
fn a_segment_that_is_aligned_to_512_is_restored_and_verified() {
    let place = Place::aligned(512);
    let agent = place.restore(false);
    let blocks = handled(&agent, 0, VOLUME, State::Data).unwrap();
    for (number, work) in (0..).zip(&blocks).filter(|(number, _)| *number != 1) {
        assert!(work.bytes().unwrap() == content(number), "block {number}");
    }
    let checked = work(told(&place.verify(), Message::Check(place.name())));
    assert_eq!(checked.len(), 3);
    for work in &checked {
        assert!(work.command.state == State::Data && work.bytes().unwrap() == content(work.command.offset / BLOCK));
    }
}

#[test]
fn a_segment_that_has_gone_ends_a_restore_and_leaves_no_slot_out() {
    let place = Place::new();
    std::fs::remove_file(place.path("v/b/segments/000000")).unwrap();
    let agent = place.restore(false);
    let failure = handled(&agent, 2 * BLOCK, BLOCK, State::Data).unwrap_err();
    assert!(failure.doing.contains("volume bytes 131072..196608"), "{failure}");
    assert_eq!(pool(&agent).taken(), 0);
}

#[test]
fn a_restore_that_keeps_going_names_what_is_cut_off_and_brings_the_rest() {
    let place = Place::new();
    let last = place.places[2].unwrap().offset_bytes;
    std::fs::File::options().write(true).open(place.path("v/b/segments/000000")).unwrap().set_len(last + 1).unwrap();
    let agent = place.restore(true);
    let blocks = handled(&agent, 0, VOLUME, State::Data).unwrap();
    let states: Vec<_> = blocks.iter().map(|work| work.command.state).collect();
    assert_eq!(states, vec![State::Data, State::Zero, State::Damaged, State::Data]);
    assert!(blocks[2].command.reason.is_some() && blocks[2].slot.is_none());
    assert_eq!(pool(&agent).taken(), 2);
}

#[test]
fn a_scan_names_each_segment_once() {
    let place = Place::new();
    let items = told(&place.verify(), Message::Scan);
    assert!(
        matches!(&items[..], [Item::Message(Message::Found(name)), Item::Message(Message::Scanned(1))] if *name == place.name()),
        "{items:?}"
    );
}

#[test]
fn a_check_sends_every_block_with_its_place_and_counts_them() {
    let place = Place::new();
    let agent = place.verify();
    let items = told(&agent, Message::Check(place.name()));
    let counted = CheckedLine { volume: volume(), backup: backup(), number: 0, blocks: 3, damaged: None };
    assert!(matches!(items.last(), Some(Item::Message(Message::Checked(line))) if *line == counted), "{items:?}");
    for work in &work(items) {
        let block = work.command.offset / BLOCK;
        assert!(work.bytes().unwrap() == content(block));
        assert_eq!(work.command.segment_offset, place.places[block as usize].map(|place| place.offset_bytes));
        assert_eq!((&work.command.backup, work.command.segment), (&Some(backup()), Some(0)));
    }
    assert_eq!(pool(&agent).taken(), 0);
}

#[test]
fn a_flipped_byte_goes_on_to_be_found_by_the_hash() {
    let place = Place::new();
    place.damage(2);
    let blocks = work(told(&place.verify(), Message::Check(place.name())));
    let is_as_hashed = |work: &Work| work.bytes().map(BlockHash::of) == work.command.hash;
    assert_eq!(blocks.iter().map(is_as_hashed).collect::<Vec<_>>(), vec![true, false, true]);
}

#[test]
fn a_segment_whose_index_is_wrong_is_damaged_as_a_whole() {
    let place = Place::new();
    let wrong = SegmentName { hash: BlockHash::of(b"another"), ..place.name() };
    let items = told(&place.verify(), Message::Check(wrong));
    let [Item::Message(Message::Checked(line))] = &items[..] else { panic!("{items:?}") };
    assert!(line.damaged.is_some() && line.blocks == 0);
}

#[test]
fn an_extent_that_is_not_whole_blocks_of_the_volume_is_refused() {
    let place = Place::new();
    let agent = place.restore(true);
    for (offset, size) in
        [(VOLUME, 1), (1, BLOCK), (0, 1000), (3 * BLOCK, BLOCK), (4 * BLOCK, BLOCK), (u64::MAX - 10, 5)]
    {
        for state in [State::Map, State::Data] {
            assert!(handled(&agent, offset, size, state).is_err(), "{size} bytes at {offset}");
        }
    }
}

#[test]
fn a_verification_has_nothing_to_do_with_extents() {
    assert!(handled(&Place::new().verify(), 0, BLOCK, State::Data).is_err());
}
