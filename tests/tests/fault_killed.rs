//! Each agent and the supervisor are killed at random moments. The run ends with one line that names the agent,
//! nothing incomplete stays, and earlier data are unchanged.

use rustix::process::Signal;
use septet_tests::fault::{Site, assert_no_shared_memory, notes, reason};
use septet_tests::fault_job::{Job, all_agents, assert_names, at_random_moments};
use septet_tests::{Running, assert_gone};

const HITS: u32 = 2;

fn kill_each_agent(job: Job) {
    at_random_moments(job, &[], job.agents(), Signal::KILL, HITS, |agent, outcome| {
        assert_names(agent, outcome, "was killed (SIGKILL): by hand, or because the machine ran out of memory");
    });
}

#[test]
fn each_agent_of_a_backup() {
    kill_each_agent(Job::Backup);
}

#[test]
fn each_agent_of_a_restore() {
    kill_each_agent(Job::Restore);
}

#[test]
fn each_agent_of_a_verification() {
    kill_each_agent(Job::Verify);
}

#[test]
fn each_agent_of_a_deletion() {
    kill_each_agent(Job::Delete);
}

#[test]
fn the_user_interrupts() {
    for job in [Job::Backup, Job::Restore, Job::Verify] {
        for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
            at_random_moments(job, &[], &["septet"], signal, 1, |_, outcome| {
                assert_eq!(outcome.status, Some(130), "{outcome:?}");
                let said = reason(outcome);
                let known = ["interrupted; nothing ", "interrupted; the same command resumes it"];
                assert!(known.iter().any(|text| said.starts_with(text)), "{outcome:?}");
            });
        }
    }
}

#[test]
fn the_user_interrupts_twice() {
    let site = Site::new(16 << 20);
    let mut run = Job::Backup.command(&site).spawn();
    let agents = all_agents(&mut run, Job::Backup).expect("the agents");
    run.signal(Signal::INT);
    run.signal(Signal::INT);
    run.wait().exits(130);
    assert_gone(&agents);
    // It may not have had the time to clean up. Then the next run does.
    site.repo.septet(site.backup(&["--id", "next"])).ok();
    site.settle();
    site.assert_earlier_restores();
}

#[test]
fn an_interrupted_restore_over_a_file_says_what_it_left() {
    let site = Site::new(32 << 20);
    let target = site.scratch.file("target", b"old");
    let mut run = site.repo.restore_command("vol/earlier", &target).args(["--overwrite"]).spawn();
    let has_begun = |_: &mut Running| std::fs::metadata(&target).is_ok_and(|file| file.len() > 3).then_some(());
    run.wait_until(has_begun).expect("the restore begins");
    run.signal(Signal::INT);
    let outcome = run.wait().exits(130);
    assert!(reason(&outcome).contains("restore it again"), "{outcome:?}");
}

#[test]
fn the_supervisor_is_killed_and_the_next_run_clears_up() {
    let site = Site::new(32 << 20);
    for _ in 0..3 {
        let mut run = Job::Backup.command(&site).spawn();
        let agents = all_agents(&mut run, Job::Backup).expect("the agents");
        run.signal(Signal::KILL);
        assert_eq!(run.wait().signal, Some(9));
        assert_gone(&agents);
        assert_no_shared_memory();
        let marker =
            site.repo.objects().into_iter().find(|object| object.ends_with("/pending-0.json")).expect("a marker");
        let half_made = marker.trim_end_matches("/pending-0.json");
        site.repo.septet(["list"]).ok();
        let next = site.repo.septet(site.backup(&[])).ok();
        let said = notes(&next);
        assert!(said.contains(&format!("removed the leftovers of the interrupted backup {half_made}")), "{said}");
        site.settle();
    }
    site.assert_earlier_restores();
}
