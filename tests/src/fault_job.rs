//! The jobs that tests disturb: the agents of each job, its command, and what must hold after one of its processes was
//! killed or stopped.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::content::Rng;
use crate::fault::{Site, assert_no_shared_memory, notes, reason};
use crate::processes::urgently;
use crate::{Outcome, Process, Running, Septet, assert_gone, is_alive};

/// A job that can be disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// A backup of the volume.
    Backup,
    /// A restore of the earlier backup.
    Restore,
    /// A verification of the earlier backup.
    Verify,
    /// The deletion of a backup that shares data with the earlier one.
    Delete,
}

impl Job {
    /// The job's agents, in the order of the ring.
    pub fn agents(self) -> &'static [&'static str] {
        match self {
            Self::Backup => &["master", "reader", "checksum", "diff", "compressor", "datawriter", "metawriter"],
            Self::Restore => &["master", "backupreader", "decompressor", "volumewriter"],
            Self::Verify => &["master", "backupreader", "decompressor"],
            Self::Delete => &["master", "s3worker"],
        }
    }

    /// Prepares what the command needs, and returns the command without running it.
    pub fn command(self, site: &Site) -> Septet {
        match self {
            Self::Backup => site.repo.septet(site.backup(&[])),
            Self::Restore => site.repo.restore_command("vol/earlier", &site.scratch.path("target")),
            Self::Verify => site.repo.septet(["verify", "vol/earlier"]),
            Self::Delete => {
                let doomed = new_id("doomed");
                site.repo.backup_as(&doomed, &site.source, &[]);
                add_garbage(&site.repo.path().join("vol").join(&doomed));
                site.repo.septet(["delete", &format!("vol/{doomed}")])
            }
        }
    }

    /// How long the job's agents live if they are not disturbed.
    pub fn duration(self, site: &Site) -> Duration {
        let mut run = self.command(site).spawn();
        run.agent("master").expect("a master");
        let started = Instant::now();
        run.wait_until(|run| run.agents().is_empty().then_some(()));
        let duration = started.elapsed();
        run.wait().exits(0);
        self.settle(site);
        duration
    }

    /// Asserts that everything the job has left is intact, removes it, and asserts that everything is as before.
    pub fn settle(self, site: &Site) {
        assert_no_shared_memory();
        let target = site.scratch.path("target");
        assert!(!site.scratch.path(".target.septet-partial").exists(), "half a target is left");
        if target.exists() {
            crate::assert_bytes(&target, &site.earlier);
            std::fs::remove_file(&target).expect("removing the target");
        }
        if self == Self::Delete {
            // The next deletion removes the leftovers of an interrupted one.
            site.repo.backup_as(&new_id("next"), &site.source, &[]);
            site.remove_empty_directories();
        }
        site.settle();
    }

    /// Disturbs one run after `wait`: sends `signal` to the agent called `who` (or to the supervisor, `septet`).
    /// Returns how the run ended, or `None` if it ended before.
    pub fn disturb(self, site: &Site, args: &[&str], who: &str, signal: Signal, wait: Duration) -> Option<Outcome> {
        let mut run = self.command(site).args(args).spawn();
        let first = run.agent("master")?;
        std::thread::sleep(wait);
        let victim = if who == "septet" { Some(run.pid()) } else { run.agent(who).map(|agent| agent.pid) };
        let agents = run.agents();
        let hit = victim.is_some_and(|pid| is_alive(pid) && send(pid, signal));
        let outcome = run.wait();
        assert_gone(&agents);
        assert_gone(&[first]);
        hit.then_some(outcome)
    }
}

/// An id that no backup of this process has had. The id of a deleted backup can't be used again for two days.
fn new_id(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Adds objects that are deleted with a backup. Without them its deletion would end before a test can disturb it.
fn add_garbage(backup: &Path) {
    for number in 1000..9000 {
        let segment = backup.join(format!("segments/{number:06}"));
        std::fs::hard_link(backup.join("map-0"), segment).expect("one more object");
    }
}

/// Disturbs runs of the job at `hits` random moments for each of `who`. If a run did not succeed, `judge` gets its
/// outcome. After each run everything must be as before.
pub fn at_random_moments(
    job: Job,
    args: &[&str],
    who: &[&str],
    signal: Signal,
    hits: u32,
    judge: impl Fn(&str, &Outcome),
) {
    let site = Site::new(32 << 20);
    let span = usize::try_from(job.duration(&site).as_micros()).expect("a short while");
    for (seed, name) in (0..).zip(who) {
        let mut rng = Rng::new(seed);
        let (mut done, mut tries) = (0, 0);
        while done < hits {
            tries += 1;
            assert!(tries <= 20 * hits, "{job:?}: {name} was never met alive");
            let wait = Duration::from_micros(rng.below(span) as u64);
            println!("{job:?}: {signal:?} to {name} after {wait:?} (seed {seed})");
            let outcome = job.disturb(&site, args, name, signal, wait);
            if let Some(outcome) = outcome
                && outcome.status != Some(0)
            {
                judge(name, &outcome);
                check_notes(&site, &outcome);
                done += 1;
            }
            job.settle(&site);
        }
    }
    site.assert_earlier_restores();
}

/// Asserts that a run which failed after its commit says so in a note.
fn check_notes(site: &Site, outcome: &Outcome) {
    if outcome.line.contains(" backup ") && outcome.signal.is_none() {
        let said = notes(outcome).contains("was complete before that and stays");
        assert_eq!(said, !site.later().is_empty(), "{}", outcome.stderr);
    }
}

/// Asserts that the run failed for one reason, which begins with the agent's name and contains `text`.
pub fn assert_names(agent: &str, outcome: &Outcome, text: &str) {
    assert_eq!(outcome.status, Some(1), "{}: {}", outcome.line, outcome.stderr);
    let reason = reason(outcome);
    assert!(reason.starts_with(&format!("septet-{agent} ")) && reason.contains(text), "{agent}: {reason}");
}

/// Sends a signal. Returns false if the process has ended.
pub fn send(pid: u32, signal: Signal) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).is_ok()
}

/// Waits until all agents of a run have started, and returns them.
pub fn all_agents(run: &mut Running, job: Job) -> Option<Vec<Process>> {
    urgently(|| run.wait_until(|run| Some(run.agents()).filter(|agents| agents.len() == job.agents().len())))
}
