//! Each agent is stopped (SIGSTOP) at a random moment. The run ends within the user's time limit, with one line that
//! names the agent. A stopped supervisor is not a failure.

use std::time::Duration;

use rustix::process::Signal;
use septet_tests::fault::Site;
use septet_tests::fault_job::{Job, all_agents, assert_names, at_random_moments};

fn stop_each_agent(job: Job) {
    at_random_moments(job, &["--timeout", "3"], job.agents(), Signal::STOP, 1, |agent, outcome| {
        assert_names(agent, outcome, "has not answered for 3 s: it was stopped (SIGSTOP); --timeout sets the limit");
    });
}

#[test]
fn each_agent_of_a_backup() {
    stop_each_agent(Job::Backup);
}

#[test]
fn each_agent_of_a_restore() {
    stop_each_agent(Job::Restore);
}

#[test]
fn each_agent_of_a_verification() {
    stop_each_agent(Job::Verify);
}

#[test]
fn each_agent_of_a_deletion() {
    stop_each_agent(Job::Delete);
}

#[test]
fn a_supervisor_that_stood_still_goes_on() {
    let site = Site::new(16 << 20);
    let mut run = Job::Backup.command(&site).args(["--timeout", "1"]).spawn();
    all_agents(&mut run, Job::Backup).expect("the agents");
    run.signal(Signal::STOP);
    std::thread::sleep(Duration::from_secs(3));
    run.signal(Signal::CONT);
    run.wait().exits(0);
    site.settle();
    site.assert_earlier_restores();
}
