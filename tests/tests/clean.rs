//! `septet clean` removes data that no backup needs, reports it, and leaves everything else.

use rustix::process::Signal;
use septet_tests::fault::{Site, notes};
use septet_tests::fault_job::{Job, all_agents};

#[test]
fn what_a_killed_backup_has_left() {
    let site = Site::new(32 << 20);
    let mut run = Job::Backup.command(&site).spawn();
    all_agents(&mut run, Job::Backup).expect("the agents");
    run.signal(Signal::KILL);
    run.wait();
    let cleaned = site.repo.septet(["clean", "--json"]).ok();
    assert!(notes(&cleaned).contains("removed the leftovers of the interrupted backup vol/"), "{cleaned:?}");
    assert_eq!(cleaned.summary()["interrupted"].as_array().map(Vec::len), Some(1));
    site.assert_as_before();
}

#[test]
fn what_an_interrupted_deletion_has_left() {
    let site = Site::new(1 << 20);
    site.repo.backup_as("doomed", &site.source, &[]);
    std::fs::remove_file(site.repo.path().join("vol/doomed/manifest-0.json")).expect("its first step");
    let cleaned = site.repo.septet(["clean", "vol", "--json"]).ok().summary();
    assert_eq!((cleaned["interrupted"].as_array().map(Vec::len), cleaned["objects"].as_u64()), (Some(0), Some(3)));
    site.assert_as_before();
}

#[test]
fn where_there_is_nothing_nothing_goes() {
    let site = Site::new(1 << 20);
    assert!(site.repo.septet(["clean"]).ok().stdout.contains("nothing to clean"));
    site.repo.septet(["clean", "no-such-volume"]).ok();
    site.assert_as_before();
}
