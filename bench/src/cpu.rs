//! CPU time. Unlike wall time it is stable on a noisy machine, and it is what a backup costs its host.

use nix::sys::resource::{Usage, UsageWho, getrusage};
use rustix::time::{ClockId, clock_gettime};

/// CPU time of this thread so far, seconds.
pub(crate) fn thread_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// CPU time, user and system, of all children that were waited for, and of all descendants that those waited for,
/// seconds.
pub(crate) fn children_seconds() -> anyhow::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok([Usage::user_time, Usage::system_time]
        .map(|time| time(&usage))
        .iter()
        .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
        .sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Grandchildren count once their parent has waited for them. Agents are counted this way.
    #[test]
    fn a_grandchild_that_works_is_counted_and_one_that_sleeps_is_not() {
        let cost = |script: &str| {
            let before = children_seconds().unwrap();
            assert!(std::process::Command::new("sh").args(["-c", script]).status().unwrap().success());
            children_seconds().unwrap() - before
        };
        let busy = cost("sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'; true");
        let idle = cost("sh -c 'sleep 0.3'; true");
        assert!(busy > idle, "300,000 steps took {busy} s of CPU, a sleep {idle} s");
    }
}
