//! Tests that a source returns exactly the bytes that were written, on every kind of storage.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use super::{Mount, direct_loop, disk, file, tmpfs};
use crate::conformance::{check_source, pattern};
use crate::{Extent, ExtentKind, FileSource, Source, VolumeError};

const SIZES: [usize; 8] = [0, 1, 511, 512, 4095, 4097, 65536, (1 << 20) + 13];

#[test]
fn files_of_any_size_are_read_directly_from_a_disk() {
    for bytes in SIZES {
        let directory = disk();
        let expected = pattern(1, bytes);
        let source = FileSource::open(&file(directory.path(), &expected)).expect("the source");
        check_source(&source, &expected);
        assert!(source.direct(), "O_DIRECT should work where the tests' directory is");
        assert!(source.describe().ends_with("/volume (regular file)"), "{}", source.describe());
    }
}

#[test]
fn files_of_any_size_are_read_from_memory_file_systems() {
    let directory = disk();
    let ramfs = Mount::new(&["-t", "ramfs", "none"], directory.path().join("ramfs"));
    let tmpfs = tmpfs();
    for bytes in SIZES {
        let expected = pattern(2, bytes);
        // Whether tmpfs supports O_DIRECT depends on the kernel.
        let source = FileSource::open(&file(tmpfs.path(), &expected)).expect("the source");
        check_source(&source, &expected);
        let source = FileSource::open(&file(&ramfs.0, &expected)).expect("the source");
        assert!(!source.direct(), "ramfs has no O_DIRECT");
        check_source(&source, &expected);
    }
}

#[test]
fn devices_of_both_sector_sizes_are_read() {
    for (sector_bytes, bytes) in [(512, 512 * 4099), (4096, 4096 * 515)] {
        let directory = disk();
        let expected = pattern(3, bytes);
        let device = direct_loop(&file(directory.path(), &expected), sector_bytes);
        let source = FileSource::open(device.path()).expect("the source");
        check_source(&source, &expected);
        assert!(source.direct());
        let path = device.path().display();
        let expected = format!("{path} (block device, {sector_bytes}-byte sectors)");
        assert_eq!(source.describe(), expected);
    }
}

#[test]
fn what_others_wrote_and_did_not_flush_is_seen() {
    let directory = disk();
    let path = file(directory.path(), &pattern(4, 1 << 20));
    let image = directory.path().join("image");
    std::fs::copy(&path, &image).expect("an image");
    let device = direct_loop(&image, 4096);
    for path in [path.as_path(), device.path()] {
        let source = FileSource::open(path).expect("the source");
        let writer = OpenOptions::new().write(true).open(path).expect("a writer");
        let mut expected = pattern(4, 1 << 20);
        expected[70_000..90_000].fill(0x5a);
        writer.write_all_at(&expected[70_000..90_000], 70_000).expect("written");
        check_source(&source, &expected);
    }
}

#[test]
fn holes_are_told_from_data() {
    for directory in [disk(), tmpfs()] {
        let path = directory.path().join("sparse");
        let sparse = File::create(&path).expect("a file");
        sparse.set_len(64 << 20).expect("its size");
        sparse.write_all_at(&pattern(5, 8192), 32 << 20).expect("written");
        let source = FileSource::open(&path).expect("the source");
        let mut extents = Vec::new();
        let mut at = 0;
        while at < source.bytes() {
            let extent = source.next_extent(at, source.bytes()).expect("an extent");
            at = extent.end_bytes();
            extents.push(extent);
        }
        let extent = |offset_bytes, size_bytes, kind| Extent { offset_bytes, size_bytes, kind };
        let data_end = (32 << 20) + 8192;
        let expected = [
            extent(0, 32 << 20, ExtentKind::Hole),
            extent(32 << 20, 8192, ExtentKind::Data),
            extent(data_end, (64 << 20) - data_end, ExtentKind::Hole),
        ];
        assert_eq!(extents, expected);
        let part = source.next_extent(4096, 8192).expect("a part");
        assert_eq!(part, extent(4096, 4096, ExtentKind::Hole));
        let none = source.next_extent(data_end, data_end).expect("nothing");
        assert_eq!(none.size_bytes, 0);
    }
}

#[test]
fn a_file_that_shrinks_is_an_error_and_one_that_grows_is_told() {
    for directory in [disk(), tmpfs()] {
        let path = file(directory.path(), &pattern(6, 1 << 20));
        let source = FileSource::open(&path).expect("the source");
        let resize = |bytes| {
            OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(bytes)).expect("resized");
        };
        resize(700_000);
        let shrank = VolumeError::Shrank { volume: path.display().to_string(), from_bytes: 1 << 20, to_bytes: 700_000 };
        let mut buf = crate::file::AlignedBuf::new(1 << 20);
        assert_eq!(source.read_at(0, buf.as_mut_slice()), Err(shrank.clone()));
        assert_eq!(source.check_size(), Err(shrank));
        resize(2 << 20);
        assert_eq!(source.check_size(), Ok(Some(2 << 20)));
    }
}
