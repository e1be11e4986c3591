//! Something that happens at each operation of a run in turn.

/// Calls `play` with 0, 1, 2 and so on until it returns false, because there is no such operation. Returns the number of
/// operations.
pub fn each_operation(mut play: impl FnMut(u64) -> bool) -> usize {
    (0..).take_while(|at| play(*at)).count()
}
