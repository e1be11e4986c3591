//! Compares two volumes bit for bit. Ranges that are holes in both are not read.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::{direct, extents};

const PIECE_BYTES: usize = 4 << 20;

/// Checks that two files hold the same bytes.
///
/// # Errors
/// The lengths differ, a piece differs (the first is named), or a file cannot be read.
pub(crate) fn same(a: &Path, b: &Path) -> anyhow::Result<()> {
    let paths = [a, b];
    let [a, b] = paths.map(|path| direct::open(path).with_context(|| path.display().to_string()));
    let (a, b) = (a?, b?);
    let bytes = a.metadata()?.len();
    ensure!(b.metadata()?.len() == bytes, "{} and {} differ in length", paths[0].display(), paths[1].display());

    let mut buffers = [direct::Buffer::new(PIECE_BYTES)?, direct::Buffer::new(PIECE_BYTES)?];
    let mut at = 0;
    while let Some(extent) = nearest([extents::next_data(&a, at)?, extents::next_data(&b, at)?]) {
        let length = usize::try_from(extent.end - extent.start)?.min(PIECE_BYTES);
        let [of_a, of_b] = &mut buffers;
        let same = of_a.read(&a, extent.start, length)? == of_b.read(&b, extent.start, length)?;
        ensure!(
            same,
            "{} and {} differ in the {length} bytes at {}",
            paths[0].display(),
            paths[1].display(),
            extent.start
        );
        at = extent.start + length as u64;
    }
    Ok(())
}

fn nearest(extents: [Option<Range<u64>>; 2]) -> Option<Range<u64>> {
    extents.into_iter().flatten().min_by_key(|extent| extent.start)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use super::*;

    fn files(write: impl Fn([&File; 2])) -> Result<(), String> {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| dir.path().join(name));
        let [a, b] = paths.each_ref().map(|path| File::create(path).unwrap());
        for file in [&a, &b] {
            file.set_len(40 << 20).unwrap();
        }
        write([&a, &b]);
        same(&paths[0], &paths[1]).map_err(|error| error.to_string())
    }

    #[test]
    fn a_hole_is_the_same_as_zeros_that_were_written() {
        files(|[a, b]| {
            a.write_all_at(&[0; 1 << 20], 9 << 20).unwrap();
            for file in [a, b] {
                file.write_all_at(&[7; 12_345], 20 << 20).unwrap();
            }
        })
        .unwrap();
    }

    #[test]
    fn one_byte_is_found_in_either_file_and_wherever_it_is() {
        for offset in [0, (9 << 20) + 4711, (40 << 20) - 1] {
            for file in [0, 1] {
                let said = files(|files| files[file].write_all_at(b"x", offset).unwrap()).unwrap_err();
                assert!(said.contains("differ in the"), "{said}");
            }
        }
        assert!(files(|[a, _]| a.set_len(5).unwrap()).unwrap_err().contains("differ in length"));
    }
}
