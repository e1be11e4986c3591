//! Concurrent runs: two backups of one volume, two backups with one id, a backup whose parent is deleted.

use std::time::Duration;

use septet_tests::Running;
use septet_tests::content::Rng;
use septet_tests::fault::{Site, assert_no_shared_memory, reason};

const MIB: usize = 1 << 20;

#[test]
fn two_backups_of_one_volume_both_succeed() {
    let site = Site::new(8 * MIB);
    for _ in 0..3 {
        let runs = [(); 2].map(|()| site.repo.septet(site.backup(&[])).spawn());
        let ids = runs.map(|run| run.wait().exits(0).summary()["backup"].to_string());
        assert_ne!(ids[0], ids[1]);
        assert_eq!(site.later().len(), 2);
        site.settle();
    }
    site.assert_earlier_restores();
}

#[test]
fn of_two_backups_with_one_id_one_wins_and_the_other_says_why() {
    let site = Site::new(8 * MIB);
    for round in 0..4 {
        // The id of a deleted backup cannot be reused for a day.
        let id = format!("one-{round}");
        let runs = [(); 2].map(|()| site.repo.septet(site.backup(&["--id", &id])).spawn());
        let mut outcomes = runs.map(Running::wait);
        outcomes.sort_by_key(|outcome| outcome.status);
        assert_eq!(outcomes.each_ref().map(|outcome| outcome.status), [Some(0), Some(1)], "{outcomes:?}");
        let why = reason(&outcomes[1]);
        let known = [
            format!("backup {id} is being made by process"),
            format!("backup vol/{id} exists already: choose another"),
        ];
        assert!(known.iter().any(|text| why.starts_with(text)), "{why}");
        assert_eq!(site.later(), [id]);
        site.settle();
    }
    site.assert_earlier_restores();
}

#[test]
fn a_backup_while_its_parent_is_deleted_ends_well_or_says_why() {
    let site = Site::new(8 * MIB);
    for seed in 0..6 {
        let mut rng = Rng::new(seed);
        let (parent, child) = (format!("parent-{seed}"), format!("child-{seed}"));
        site.repo.backup_as(&parent, &site.source, &[]);
        let backup = || site.repo.septet(site.backup(&["--id", &child, "--parent", &parent])).spawn();
        let delete = || site.repo.septet(["delete", &format!("vol/{parent}")]).spawn();
        let wait = Duration::from_millis(rng.below(150) as u64);
        println!("seed {seed}: {wait:?}");
        let (backed_up, deleted) = if rng.below(2) == 0 {
            let first = delete();
            std::thread::sleep(wait);
            (backup().wait(), first.wait())
        } else {
            let first = backup();
            std::thread::sleep(wait);
            let second = delete();
            (first.wait(), second.wait())
        };
        deleted.exits(0);
        if backed_up.status != Some(0) {
            let why = reason(&backed_up);
            let known = [
                format!("there is no backup vol/{parent} in"),
                format!("the parent backup vol/{parent} has just been deleted: start again"),
            ];
            assert!(known.iter().any(|text| why.starts_with(text)), "{why}");
        }
        site.repo.septet(["verify"]).ok();
        assert_no_shared_memory();
        // The objects that the child needs of its parent exist, and are deleted with the child.
        site.repo.backup_as(&format!("next-{seed}"), &site.source, &[]);
        site.settle();
    }
    site.assert_earlier_restores();
}
