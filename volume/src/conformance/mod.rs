//! The contract of every source and target, as a suite for their tests.
//!
//! The functions panic on failure. A target gets the same writes as a plain vector of bytes. The caller reads the
//! target by other means and compares the content with that vector.

#![allow(clippy::expect_used, reason = "for tests alone")]

mod loop_device;

pub use loop_device::LoopDevice;

use std::thread;

use crate::file::AlignedBuf;
use crate::{ExtentKind, Source, Target, VolumeError};

const BLOCK_BYTES: usize = 64 << 10;
const THREADS: usize = 4;

/// Pseudorandom bytes for `seed`, without a period that is a power of two.
pub fn pattern(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..bytes).map(|_| step()).collect()
}

/// Checks that the source holds exactly `expected`, with every way to read it.
pub fn check_source(source: &dyn Source, expected: &[u8]) {
    assert_eq!(source.bytes(), expected.len() as u64);
    assert!(!source.describe().is_empty());
    check_extents(source, expected);
    thread::scope(|scope| {
        for first in 0..THREADS {
            scope.spawn(move || check_blocks(source, expected, first));
        }
    });
    check_odd_reads(source, expected);
    check_limits(source);
    assert_eq!(source.check_size().expect("the size"), None);
}

fn check_extents(source: &dyn Source, expected: &[u8]) {
    let mut at = 0;
    while at < expected.len() {
        let end = expected.len().min(at + 10 * BLOCK_BYTES + 1);
        let extent = source.next_extent(at as u64, end as u64).expect("an extent");
        let extent_end = usize::try_from(extent.end_bytes()).expect("a small volume");
        assert_eq!(extent.offset_bytes, at as u64);
        assert!(at < extent_end && extent_end <= end, "{extent:?} within {at}..{end}");
        if extent.kind == ExtentKind::Hole {
            assert!(expected[at..extent_end].iter().all(|byte| *byte == 0), "{extent:?} has data");
        }
        at = extent_end;
    }
}

/// Every fourth block, as the streams of a backup read them.
fn check_blocks(source: &dyn Source, expected: &[u8], first: usize) {
    let mut buf = AlignedBuf::new(BLOCK_BYTES);
    for (index, block) in expected.chunks(BLOCK_BYTES).enumerate().skip(first).step_by(THREADS) {
        let read = &mut buf.as_mut_slice()[..block.len()];
        read.fill(0xee);
        source.read_at((index * BLOCK_BYTES) as u64, read).expect("a block");
        assert!(read == block, "block {index} differs");
    }
}

/// Reads that are unaligned in offset, memory and length.
fn check_odd_reads(source: &dyn Source, expected: &[u8]) {
    let end = expected.len();
    for start in [0, 1, 511, 4097, end / 2, end.saturating_sub(1)] {
        let range = start.min(end)..(start + 5000).min(end).max(start.min(end));
        let mut buf = vec![0xee; range.len() + 1];
        source.read_at(range.start as u64, &mut buf[1..]).expect("an odd range");
        assert!(buf[1..] == expected[range.clone()], "{range:?} differs");
    }
}

fn check_limits(source: &dyn Source) {
    let end = source.bytes();
    let outside = |result| matches!(result, Err(VolumeError::OutOfRange { .. }));
    assert!(outside(source.read_at(end, &mut [0])));
    assert!(outside(source.read_at(u64::MAX, &mut [0, 0])));
    assert!(outside(source.next_extent(0, end + 1).map(drop)));
    assert!(outside(source.next_extent(end + 1, end).map(drop)));
}

/// Writes and zeroes the whole target from several threads, as a restore does. Returns the content that it must have.
pub fn fill_target(target: &dyn Target) -> Vec<u8> {
    let bytes = usize::try_from(target.bytes()).expect("a small volume");
    let mut expected = pattern(7, bytes);
    // Blocks of zeros with a size that puts their edges at arbitrary offsets.
    for zeros in expected.chunks_mut(BLOCK_BYTES + 700).skip(1).step_by(3) {
        zeros.fill(0);
    }
    thread::scope(|scope| {
        for first in 0..THREADS {
            let expected = &expected;
            scope.spawn(move || fill_blocks(target, expected, first));
        }
    });
    check_target_limits(target);
    expected
}

fn fill_blocks(target: &dyn Target, expected: &[u8], first: usize) {
    let chunk_bytes = BLOCK_BYTES + 700;
    for (index, chunk) in expected.chunks(chunk_bytes).enumerate().skip(first).step_by(THREADS) {
        let at = (index * chunk_bytes) as u64;
        if index % 3 == 1 {
            target.zero(at, chunk.len() as u64).expect("zeroed");
        } else {
            target.write_at(at, chunk).expect("written");
        }
    }
}

fn check_target_limits(target: &dyn Target) {
    let end = target.bytes();
    let outside = |result| matches!(result, Err(VolumeError::OutOfRange { .. }));
    assert!(outside(target.write_at(end, &[1])));
    assert!(outside(target.write_at(u64::MAX, &[1, 2])));
    assert!(outside(target.zero(end, 1)));
    assert!(outside(target.zero(1, u64::MAX)));
}
