//! Many small reads at the same time. The threads mostly wait for answers of a distant server and compute little.

use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

/// Applies `work` to each of `items` on up to `threads` threads. The results are in the order of the items.
///
/// The pool lasts only for the call: an agent enters its sandbox while it has one thread, and keeps no unused threads.
/// The calling thread does the work itself if no other thread can be started, or if it already belongs to such a pool.
/// Otherwise, while it waited for an inner pool, rayon would let it begin further items of the outer one, without a
/// limit.
pub(crate) fn parallel<I, T>(threads: usize, items: &[I], work: impl Fn(&I) -> T + Send + Sync) -> Vec<T>
where
    I: Sync,
    T: Send,
{
    let threads = if rayon::current_thread_index().is_some() { 1 } else { threads.min(items.len()) };
    let pool = (threads > 1).then(|| ThreadPoolBuilder::new().num_threads(threads).build());
    match pool {
        // One item per job: rayon's own splitting is meant for short items of work.
        Some(Ok(pool)) => pool.install(|| items.par_iter().with_max_len(1).map(work).collect()),
        _ => items.iter().map(work).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_done_once_and_in_order_however_many_threads_there_are() {
        let items: Vec<u64> = (0..100).collect();
        for threads in [0, 1, 3, 200] {
            assert_eq!(parallel(threads, &items, |item| item * 2), (0..100).map(|item| item * 2).collect::<Vec<u64>>());
        }
        assert_eq!(parallel(4, &[] as &[u64], |item| *item), Vec::<u64>::new());
    }

    #[test]
    fn as_many_are_under_way_as_there_are_threads() {
        let barrier = std::sync::Barrier::new(16);
        assert_eq!(parallel(16, &[(); 32], |()| barrier.wait()).len(), 32);
    }

    #[test]
    fn what_is_done_within_another_is_done_by_its_thread() {
        let inner = |_: &u64| parallel(4, &[1, 2, 3], |_: &u64| std::thread::current().id());
        for ids in parallel(2, &[1, 2, 3, 4], inner) {
            assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        }
    }
}
