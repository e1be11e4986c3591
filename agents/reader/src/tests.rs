//! Tests the reader on a sparse file: what it maps, reads and rejects.

#![allow(clippy::cast_possible_truncation, reason = "the sizes are the tests' own, and small")]

use std::fs::File;
use std::os::unix::fs::FileExt;

use septet_ipc::test_support::{backup_job, delete_job, results};
use septet_ipc::{Command, Item};
use tempfile::NamedTempFile;

use super::*;

const BLOCK: u64 = 65536;

fn job(source: &Path) -> BackupJob {
    BackupJob { source: source.to_str().unwrap().to_owned(), streams: 2, ..backup_job() }
}

fn begun(source: &Path) -> Result<Reader, Failure> {
    let mut begin = Begin::Backup(job(source));
    let reader = Reader::begin(&mut begin, &Context::new(AgentKind::Reader))?;
    let Begin::Backup(job) = begin else { panic!("another job") };
    assert_eq!(job.volume_bytes, Some(reader.source.bytes()), "the others must know the volume's size");
    Ok(reader)
}

/// A volume of one block of hole, two blocks of data and a short third one.
fn volume() -> NamedTempFile {
    let file = tempfile::Builder::new().tempfile_in("/dev/shm").unwrap();
    file.as_file().set_len(BLOCK).unwrap();
    file.as_file().write_all_at(&vec![7; 2 * BLOCK as usize + 1000], BLOCK).unwrap();
    file
}

fn handled(reader: &Reader, offset: u64, size: u64, state: State) -> Result<Vec<Work>, Failure> {
    let items = results(|worker| reader.handle(Work::new(offset, size, state), worker))?;
    Ok(items.into_iter().map(|item| if let Item::Work(work) = item { work } else { panic!("{item:?}") }).collect())
}

fn shape(work: &[Work]) -> Vec<(u64, u64, State)> {
    work.iter().map(|Work { command: Command { offset, size, state, .. }, .. }| (*offset, *size, *state)).collect()
}

#[test]
fn a_question_is_answered_by_extents_that_cover_it_and_carry_nothing() {
    let volume = volume();
    let reader = begun(volume.path()).unwrap();
    let answers = handled(&reader, 0, reader.source.bytes(), State::Map).unwrap();
    assert_eq!(shape(&answers), vec![(0, BLOCK, State::Hole), (BLOCK, 2 * BLOCK + 1000, State::Present)]);
    assert_eq!(reader.pool.taken(), 0);
}

#[test]
fn an_extent_is_read_a_block_a_slot_and_the_last_may_be_short() {
    let volume = volume();
    let reader = begun(volume.path()).unwrap();
    let blocks = handled(&reader, BLOCK, 2 * BLOCK + 1000, State::Data).unwrap();
    let data = |offset, size| (offset, size, State::Data);
    assert_eq!(shape(&blocks), vec![data(BLOCK, BLOCK), data(2 * BLOCK, BLOCK), data(3 * BLOCK, 1000)]);
    assert!(blocks.iter().all(|work| work.bytes().unwrap() == vec![7; usize::try_from(work.command.size).unwrap()]));
    assert_eq!(reader.pool.taken(), 3);
    drop(blocks);
    assert_eq!(reader.pool.taken(), 0);
}

#[test]
fn an_extent_that_is_not_whole_blocks_of_the_volume_is_refused() {
    let volume = volume();
    let reader = begun(volume.path()).unwrap();
    let end = reader.source.bytes();
    for (offset, size) in [(1, BLOCK), (0, 1000), (0, end + 1), (4 * BLOCK, BLOCK), (u64::MAX - 10, 5)] {
        for state in [State::Map, State::Data] {
            assert!(handled(&reader, offset, size, state).is_err(), "{size} bytes at {offset}");
        }
    }
}

#[test]
fn a_volume_that_shrinks_is_named_and_leaves_no_slot_out() {
    let volume = volume();
    let reader = begun(volume.path()).unwrap();
    File::options().write(true).open(volume.path()).unwrap().set_len(BLOCK).unwrap();
    let failure = handled(&reader, 2 * BLOCK, BLOCK, State::Data).unwrap_err();
    assert!(failure.cause.contains(volume.path().to_str().unwrap()), "{failure}");
    assert_eq!(reader.pool.taken(), 0);
    assert!(results(|worker| reader.end(worker)).is_err(), "nor does it end well");
}

#[test]
fn a_volume_that_grows_is_read_as_long_as_it_was_when_the_backup_began() {
    let volume = volume();
    let reader = begun(volume.path()).unwrap();
    let bytes = reader.source.bytes();
    volume.as_file().set_len(10 * BLOCK).unwrap();
    volume.as_file().write_all_at(&[9; 100], bytes).unwrap();
    let blocks = handled(&reader, 3 * BLOCK, 1000, State::Data).unwrap();
    assert_eq!(shape(&blocks), vec![(3 * BLOCK, 1000, State::Data)]);
    assert!(blocks[0].bytes().unwrap() == [7; 1000], "what was appended is in the last block");
    let answers = handled(&reader, 0, bytes, State::Map).unwrap();
    assert_eq!(answers.iter().map(|work| work.command.size).sum::<u64>(), bytes);
    assert!(handled(&reader, 4 * BLOCK, BLOCK, State::Data).is_err(), "it was not there when the backup began");
    drop(blocks);
    results(|worker| reader.end(worker)).unwrap();
}

#[test]
fn nothing_to_read_and_another_job_are_refused() {
    assert!(begun(Path::new("/nowhere")).is_err());
    assert!(Reader::<Files>::begin(&mut Begin::Delete(delete_job()), &Context::new(AgentKind::Reader)).is_err());
}
