//! Which stored blocks are read together, and how one read becomes a slot a block.

use std::borrow::Borrow;
use std::sync::Arc;

use septet_format::{BackupId, STORE_ALIGN, VolumeName, padded};
use septet_ipc::{Command, Context, Failure, NewSlot, Pool, Worker};
use septet_repository::{Repository, RepositoryError};

/// Reading this much that nobody wants is cheaper than a second request.
const GAP_BYTES_MAX: u64 = 64 << 10;

/// The longest run for a store and a pool.
pub(crate) fn run_bytes_max(repository: &Repository, pool: &Pool, streams: u32) -> u64 {
    repository.part_rules().read_bytes.min(pool.bytes() / u64::from(streams.max(1)))
}

/// The pool that stored blocks are read into: each stream may have a run in its hands while another
/// is on its way.
pub(crate) fn pool(context: &Context, block_bytes: u32, streams: u32, pool_bytes: u64) -> Result<Arc<Pool>, Failure> {
    let unit_bytes = u32::try_from(STORE_ALIGN).map_err(Failure::protocol)?;
    let least = 2 * u64::from(block_bytes) * u64::from(streams);
    let pool_bytes = pool_bytes.max(least);
    context.pool(unit_bytes, pool_bytes..=pool_bytes)
}

/// A stored block that is wanted: its command says where in the segment it lies.
pub(crate) struct Wanted {
    /// The segment's row or number: blocks of one run have the same.
    pub(crate) segment: u32,
    pub(crate) offset_bytes: u64,
    pub(crate) stored_bytes: u32,
    pub(crate) command: Command,
}

impl Wanted {
    /// Where the block's room ends in a segment that we write. In a segment that is aligned to less, another block may
    /// lie there already.
    pub(crate) fn end_bytes(&self) -> u64 {
        self.offset_bytes.saturating_add(padded(self.stored_bytes))
    }
}

/// Sorts blocks by their place and groups neighbours, at most `run_bytes_max` in one request:
/// enough to hide its latency, and small against the pool.
pub(crate) fn runs<B: Borrow<Wanted>>(mut wanted: Vec<B>, run_bytes_max: u64) -> impl Iterator<Item = Vec<B>> {
    wanted.sort_by_key(|block| (block.borrow().segment, block.borrow().offset_bytes));
    let mut rest = wanted.into_iter().peekable();
    std::iter::from_fn(move || {
        let first = rest.next()?;
        let mut run = vec![first];
        while let Some(block) = rest.next_if(|block| belongs(&run, block.borrow(), run_bytes_max)) {
            run.push(block);
        }
        Some(run)
    })
}

fn belongs(run: &[impl Borrow<Wanted>], block: &Wanted, run_bytes_max: u64) -> bool {
    let Some((first, last)) = run.first().zip(run.last()) else { return false };
    let (first, last) = (first.borrow(), last.borrow());
    // A map that is wrong may name one place twice, and blocks of a segment that is aligned to less than ours can't be
    // cut apart in the pool: each is then read on its own.
    first.segment == block.segment
        && (block.offset_bytes - first.offset_bytes).is_multiple_of(STORE_ALIGN)
        && block.offset_bytes >= last.end_bytes()
        && block.offset_bytes - last.end_bytes() <= GAP_BYTES_MAX
        && block.end_bytes() - first.offset_bytes <= run_bytes_max
}

/// The bytes of a run, before they are cut.
pub(crate) struct Fetched {
    slot: NewSlot,
    start_bytes: u64,
}

/// Reads a run by one request, as far as the segment of `segment_bytes` goes.
pub(crate) fn fetch(
    repository: &Repository,
    pool: &Arc<Pool>,
    (segment, segment_bytes): ((&VolumeName, &BackupId, u32), u64),
    run: &[Wanted],
    worker: &Worker<'_>,
) -> Result<Result<Fetched, RepositoryError>, Failure> {
    let start_bytes = run.first().map_or(0, |block| block.offset_bytes);
    let end_bytes = run.last().map_or(0, Wanted::end_bytes);
    let len = usize::try_from(end_bytes - start_bytes).map_err(Failure::protocol)?;
    let there = segment_bytes.saturating_sub(start_bytes);
    let mut slot = worker.take(pool, len)?;
    let wanted = len.min(usize::try_from(there).unwrap_or(usize::MAX));
    let read = worker.outside(|| repository.read_segment(segment, start_bytes, &mut slot.bytes_mut()[..wanted]));
    Ok(read.map(|()| Fetched { slot, start_bytes }))
}

impl Fetched {
    /// Cuts the run into its blocks: each with its slot, which holds its padding too.
    pub(crate) fn each(
        self,
        run: Vec<Wanted>,
        mut take: impl FnMut(Wanted, NewSlot) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut rest = Some(self);
        for block in run {
            let fetched =
                rest.take().ok_or_else(|| Failure::protocol("a read is shorter than the blocks it must hold"))?;
            let (slot, next) = fetched.cut(&block)?;
            rest = next;
            take(block, slot)?;
        }
        Ok(())
    }

    /// Cuts off the next block of the run.
    fn cut(mut self, block: &Wanted) -> Result<(NewSlot, Option<Self>), Failure> {
        let beyond = || Failure::protocol("a read is shorter than the blocks it must hold");
        let gap = usize::try_from(block.offset_bytes - self.start_bytes).map_err(Failure::protocol)?;
        if gap > 0 {
            self.slot = self.slot.split_off(gap).ok_or_else(beyond)?;
        }
        let len = usize::try_from(padded(block.stored_bytes)).map_err(Failure::protocol)?;
        let rest = self.slot.split_off(len);
        let rest = rest.map(|slot| Self { slot, start_bytes: block.end_bytes() });
        Ok((self.slot, rest))
    }
}

#[cfg(test)]
mod tests {
    use septet_ipc::State;

    use super::*;

    fn wanted(segment: u32, offset_bytes: u64, stored_bytes: u32) -> Wanted {
        Wanted { segment, offset_bytes, stored_bytes, command: Command::new(0, 1, State::Data) }
    }

    fn shape(blocks: Vec<Wanted>) -> Vec<Vec<u64>> {
        runs(blocks, 4 << 20).map(|run| run.iter().map(|block| block.offset_bytes).collect()).collect()
    }

    #[test]
    fn neighbours_are_read_together_in_whatever_order_they_are_asked_for() {
        let blocks = vec![wanted(0, 8192, 100), wanted(0, 0, 4096), wanted(0, 4096, 4096)];
        assert_eq!(shape(blocks), vec![vec![0, 4096, 8192]]);
    }

    #[test]
    fn segments_large_gaps_and_long_runs_divide() {
        assert_eq!(shape(vec![wanted(0, 0, 10), wanted(1, 4096, 10)]).len(), 2);
        assert_eq!(shape(vec![wanted(0, 0, 10), wanted(0, 1 << 20, 10)]).len(), 2);
        let long = (0..8).map(|at| wanted(0, at << 20, 1 << 20)).collect();
        assert_eq!(shape(long).iter().map(Vec::len).collect::<Vec<_>>(), vec![4, 4]);
    }

    #[test]
    fn blocks_that_are_aligned_to_less_are_read_one_by_one() {
        assert_eq!(shape(vec![wanted(0, 0, 100), wanted(0, 512, 100), wanted(0, 9216, 100)]).len(), 3);
        assert_eq!(shape(vec![wanted(0, 512, 100), wanted(0, 512 + 4096, 100)]).len(), 1);
    }

    #[test]
    fn one_place_that_is_named_twice_is_read_twice() {
        assert_eq!(shape(vec![wanted(0, 0, 8192), wanted(0, 4096, 10)]).len(), 2);
    }
}
