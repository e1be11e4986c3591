//! The memory of a very large, nearly empty volume: backup, incremental and restore.
//!
//! This shows the cost of a volume's size alone: little data in small pieces, scattered over terabytes of hole.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::Serialize;

use crate::args::Huge;
use crate::data::random::Stream;
use crate::machine::Machine;
use crate::report::said;
use crate::tool::{Cost, Tool};
use crate::units::Size;
use crate::{compare, workspace};

/// A piece stays within a cell, so it never lies across two blocks.
const CELL_BYTES: u64 = 512 << 10;
pub(crate) const PIECE_BYTES: u64 = 256 << 10;

/// The memory of one step.
#[derive(Debug, Serialize)]
pub(crate) struct StepMemory {
    pub(crate) step: &'static str,
    #[serde(flatten)]
    pub(crate) cost: Cost,
    pub(crate) met: bool,
}

/// The memory of all steps.
#[derive(Debug, Serialize)]
pub(crate) struct MemoryReport {
    pub(crate) machine: Machine,
    pub(crate) volume_bytes: Size,
    pub(crate) data_bytes: Size,
    pub(crate) at_most_bytes: u64,
    pub(crate) steps: Vec<StepMemory>,
}

/// The limit: 250 MiB up to 1 TiB; above that 200 MiB plus 100 MiB for each TiB of the volume.
pub(crate) fn at_most_bytes(volume: Size) -> u64 {
    if volume.0 <= 1 << 40 { 250 << 20 } else { (200 << 20) + volume.0.div_ceil(1 << 20) * 100 }
}

/// Creates the huge volume, backs it up and restores it with `tool`.
///
/// # Errors
/// There is too little space, a step fails, or the restore differs from the volume.
pub(crate) fn measure(tool: &mut dyn Tool, huge: &Huge) -> anyhow::Result<MemoryReport> {
    let &Huge { ref dir, size, data, seed } = huge;
    workspace::make_room(dir, data.0.saturating_mul(4))?;
    let (source, restored) = (dir.join("huge.img"), dir.join("huge-restored.img"));
    for path in [&source, &restored] {
        workspace::remove(path)?;
    }
    let stream = Stream::new(seed, "huge");
    let pieces = data.0 / PIECE_BYTES;
    scatter(&source, size, pieces, &stream)?;
    let mut steps = vec![("full", tool.full(&source)?)];
    scatter(&source, size, pieces / 100, &stream.child("changed"))?;
    steps.push(("incremental", tool.incremental(&source)?));
    steps.push(("restore", tool.restore(&restored)?));
    compare::same(&source, &restored)?;
    for path in [&source, &restored] {
        workspace::remove(path)?;
    }
    let at_most_bytes = at_most_bytes(size);
    let met = |cost: &Cost| {
        [cost.memory_told_bytes, cost.memory_seen_bytes].into_iter().flatten().all(|held| held <= at_most_bytes)
    };
    let steps = steps.into_iter().map(|(step, cost)| StepMemory { step, met: met(&cost), cost }).collect();
    Ok(MemoryReport { machine: Machine::here(dir), volume_bytes: size, data_bytes: data, at_most_bytes, steps })
}

/// Writes random pieces all over the file at `path`, which is a hole of `volume` bytes if it is new.
pub(crate) fn scatter(path: &Path, volume: Size, pieces: u64, stream: &Stream) -> anyhow::Result<()> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    file.set_len(volume.0)?;
    let mut piece = vec![0; usize::try_from(PIECE_BYTES)?];
    for cell in stream.pick(pieces, volume.0 / CELL_BYTES) {
        let page = stream.child("page").below(cell, (CELL_BYTES - PIECE_BYTES) / 4096);
        let offset = cell * CELL_BYTES + page * 4096;
        stream.child("bytes").fill(offset, &mut piece);
        file.write_all_at(&piece, offset)?;
    }
    Ok(file.sync_all()?)
}

impl fmt::Display for MemoryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}", self.machine.date, self.machine.line())?;
        writeln!(f, "a sparse volume of {} with {} of data scattered over it\n", self.volume_bytes, self.data_bytes)?;
        let mib = |bytes: Option<u64>| bytes.map_or("-".to_owned(), |bytes| (bytes >> 20).to_string());
        writeln!(f, "  {:<14}{:>12}{:>12}{:>12}{:>10}", "", "told MiB", "seen MiB", "goal MiB", "wall s")?;
        for StepMemory { step, cost, met } in &self.steps {
            let [told, seen, goal] =
                [cost.memory_told_bytes, cost.memory_seen_bytes, Some(self.at_most_bytes)].map(mib);
            writeln!(f, "  {step:<14}{told:>12}{seen:>12}{goal:>12}{:>10.1}  {}", cost.wall_seconds, said(*met))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extents;

    #[test]
    fn the_bound_grows_with_the_volume() {
        assert_eq!(at_most_bytes(Size(1 << 30)), 250 << 20);
        assert_eq!(at_most_bytes(Size(1 << 40)), 250 << 20);
        assert_eq!(at_most_bytes(Size(4 << 40)), 600 << 20);
    }

    #[test]
    fn pieces_are_scattered_and_none_lies_across_two_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("huge");
        scatter(&path, Size(1 << 40), 20, &Stream::new(1, "x")).unwrap();
        let data = extents::data(&File::open(&path).unwrap()).unwrap();
        assert_eq!(extents::tests::total(&data), 20 * PIECE_BYTES);
        assert!(data.iter().all(|extent| extent.start >> 20 == (extent.end - 1) >> 20));
        assert!(data.last().unwrap().start - data[0].start > 1 << 38);
    }
}
