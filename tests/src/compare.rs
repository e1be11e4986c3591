//! Compares volumes bit for bit.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const CHUNK_BYTES: u64 = 1 << 20;

/// Asserts that a file or device holds exactly `expected`, and names the first byte that differs.
pub fn assert_bytes(path: &Path, expected: &[u8]) {
    let found = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_chunk(path, 0, &found, expected);
}

/// Asserts that two files or devices have the same content.
pub fn assert_same(found: &Path, expected: &Path) {
    let open = |path: &Path| File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut found_file, mut expected_file) = (open(found), open(expected));
    let (mut left, mut right, mut offset) = (Vec::new(), Vec::new(), 0);
    loop {
        read_chunk(&mut found_file, &mut left);
        read_chunk(&mut expected_file, &mut right);
        assert_chunk(found, offset, &left, &right);
        if left.is_empty() {
            return;
        }
        offset += left.len();
    }
}

/// How many bytes of the disk a file occupies.
pub fn allocated_bytes(path: &Path) -> u64 {
    fs::metadata(path).expect("a file").blocks() * 512
}

fn read_chunk(file: &mut File, into: &mut Vec<u8>) {
    into.clear();
    file.take(CHUNK_BYTES).read_to_end(into).expect("reading");
}

fn assert_chunk(path: &Path, offset: usize, found: &[u8], expected: &[u8]) {
    if found == expected {
        return;
    }
    let differs = found.iter().zip(expected).position(|(left, right)| left != right);
    let at = offset + differs.unwrap_or(found.len().min(expected.len()));
    let ends = (offset + found.len(), offset + expected.len());
    panic!("{} differs at byte {at}; what was compared ends at {} and should at {}", path.display(), ends.0, ends.1);
}
