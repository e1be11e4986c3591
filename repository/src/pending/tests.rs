//! Markers: which runs they keep away, what they protect, and what is removed with those of dead runs.

use super::*;
use crate::markers::{is_dead, list};
use crate::process;
use crate::reclaim;
use crate::sample::Sample;
use crate::sweep::{discard, sweep};

fn of(sample: &Sample, backup: &str, parent: Option<&str>) -> Pending {
    let parent = parent.map(|parent| parent.parse().unwrap());
    let backup = backup.parse().unwrap();
    marker(&sample.repository, process::current(), Timestamp::now(), (&sample.volume, &backup), parent)
}

/// A marker from a process of an earlier boot.
fn dead(sample: &Sample, backup: &str, parent: Option<&str>) -> Pending {
    let mut marker = of(sample, backup, parent);
    "earlier".clone_into(&mut marker.by.boot);
    marker
}

fn swept(sample: &Sample) -> Vec<String> {
    let ids =
        sweep(&sample.repository, &sample.volume, &sample.repository.view(&sample.volume).unwrap(), None).unwrap();
    ids.into_iter().map(|id| id.to_string()).collect()
}

#[test]
fn a_marker_says_whose_it_is_and_keeps_others_away() {
    let sample = Sample::new();
    let ours = of(&sample, "b1", None);
    assert_eq!(begin(&sample.repository, &ours, None).unwrap(), None);
    assert!(!is_dead(&ours));
    let error = begin(&sample.repository, &of(&sample, "b1", None), None).unwrap_err().to_string();
    assert!(error.contains(&format!("process {} on {}", ours.by.pid, ours.by.machine.name)), "{error}");
    assert_eq!(list(&sample.repository, &sample.volume).unwrap().pending, [ours]);
    remove(&sample.repository, &of(&sample, "b1", None)).unwrap();
    assert!(list(&sample.repository, &sample.volume).unwrap().pending.is_empty());
}

#[test]
fn a_backup_begins_only_on_a_parent_that_is_there_and_under_an_id_that_is_free() {
    let mut sample = Sample::new();
    let manifest = sample.backup("b1", None, &[1]);
    sample.backup("b2", Some("b1"), &[1]);
    assert_eq!(begin(&sample.repository, &of(&sample, "b3", Some("b1")), None).unwrap(), Some(manifest));
    let refused = |marker: &Pending| begin(&sample.repository, marker, None).unwrap_err();
    assert!(matches!(refused(&of(&sample, "b4", Some("gone"))), RepositoryError::ParentGone { .. }));
    assert!(refused(&of(&sample, "b1", None)).to_string().contains("vol/b1 exists already"));
    sample.delete("b1");
    let error = refused(&of(&sample, "b1", None));
    assert!(error.to_string().contains("parts of it still exist"), "{error}");
    let markers = list(&sample.repository, &sample.volume).unwrap().pending;
    assert_eq!(markers.len(), 1, "those refused have left none: {markers:?}");
}

#[test]
fn sweeping_removes_what_the_dead_have_left_and_nothing_else() {
    let mut sample = Sample::new();
    sample.backup("b1", None, &[1, 3]);
    sample.backup("b2", Some("b1"), &[1, 5]);
    let before = sample.keys();
    for marker in [dead(&sample, "d1", Some("b2")), dead(&sample, "d2", None), of(&sample, "alive", None)] {
        begin(&sample.repository, &marker, None).unwrap();
        sample.write(&format!("vol/{}/segments/000000", marker.backup), b"some");
        sample.write(&format!("vol/{}/map-0", marker.backup), b"some");
        sample.write(&format!("vol/{}/.tmp-1", marker.backup), b"some");
    }
    assert_eq!(swept(&sample), ["d1", "d2"]);
    let alive = ["map-0", "pending-0.json", "segments/000000"].map(|name| format!("vol/alive/{name}"));
    let tombstones = ["d1", "d2"].map(|backup| format!("vol/{backup}/manifest-0.json"));
    let mut expected = [before, alive.to_vec(), tombstones.to_vec()].concat();
    expected.sort();
    assert_eq!(sample.keys(), expected);
    assert!(sample.has(".tmp-1", "vol/alive") && !sample.has(".tmp-1", "vol/d1"));
    assert!(swept(&sample).is_empty());
}

#[test]
fn unfinished_uploads_of_the_dead_go_and_with_them_their_directories() {
    let sample = Sample::new();
    for (marker, lives) in [(dead(&sample, "d1", None), false), (of(&sample, "alive", None), true)] {
        begin(&sample.repository, &marker, None).unwrap();
        let key = keys::segment(&sample.volume, &marker.backup, 0);
        let upload = sample.repository.store().upload(&key).unwrap();
        upload.put_part(0, 0, vec![Bytes::from_static(b"some")]).unwrap();
        // A killed run aborts no upload.
        std::mem::forget(upload);
        let segments = format!("vol/{}/segments", marker.backup);
        assert!(sample.has("", &segments));
        swept(&sample);
        assert_eq!(sample.has("", &segments), lives);
        assert_eq!(sample.has("manifest-0.json", &format!("vol/{}", marker.backup)), !lives);
    }
}

#[test]
fn a_dead_run_that_had_committed_loses_its_marker_only() {
    let mut sample = Sample::new();
    create(&sample.repository, &dead(&sample, "b1", None)).unwrap();
    sample.backup("b1", None, &[1, 3]);
    let mut before = sample.keys();
    assert!(swept(&sample).is_empty(), "nothing unfinished was removed");
    before.retain(|key| key != "vol/b1/pending-0.json");
    assert_eq!(sample.keys(), before);
}

#[test]
fn what_others_need_under_a_dead_runs_id_stays() {
    let mut sample = Sample::new();
    sample.backup("b1", None, &[1, 3]);
    sample.backup("b2", Some("b1"), &[1, 5]);
    sample.delete("b1");
    // A run that took the deleted backup's id and died before it checked the id.
    create(&sample.repository, &dead(&sample, "b1", None)).unwrap();
    assert_eq!(swept(&sample), ["b1"]);
    assert!(sample.has("segments/000000", "vol/b1") && !sample.has("pending-0.json", "vol/b1"));
}

#[test]
fn a_damaged_marker_is_reported_and_nothing_is_swept_for_it() {
    let sample = Sample::new();
    create(&sample.repository, &dead(&sample, "b1", None)).unwrap();
    sample.write("vol/b1/map-0", b"some");
    sample.flip("vol/b1/pending-0.json", 0);
    let markers = list(&sample.repository, &sample.volume).unwrap();
    assert_eq!((markers.pending.len(), markers.unreadable.len()), (0, 1));
    assert!(markers.unreadable[0].1.to_string().contains("vol/b1/pending-0.json"));
    assert!(swept(&sample).is_empty() && sample.has("map-0", "vol/b1"));
}

/// A dead run that has stored a segment, and the marker of a run that would resume it.
fn interrupted(sample: &Sample) -> (Pending, Pending) {
    let before = dead(sample, "d1", None);
    begin(&sample.repository, &before, None).unwrap();
    sample.write("vol/d1/segments/000000", b"some");
    let next = Pending { attempt: 1, ..of(sample, "d1", None) };
    (before, next)
}

fn current(sample: &Sample, marker: &Pending) -> Result<()> {
    check_current(&sample.repository, &marker.volume, &marker.backup, marker.attempt)
}

#[test]
fn of_several_that_would_go_on_with_a_backup_one_does() {
    let sample = Sample::new();
    let (before, next) = interrupted(&sample);
    let found = |volume: &VolumeName| {
        crate::resume::find(&sample.repository, &sample.repository.view(volume).unwrap(), None, None, None).unwrap()
    };
    assert_eq!(found(&sample.volume).map(|found| found.marker), Some(before.clone()));
    current(&sample, &before).unwrap();
    resume(&sample.repository, &before, &next, None).unwrap();
    let error = resume(&sample.repository, &before, &next, None).unwrap_err();
    assert!(matches!(error, RepositoryError::Pending { .. }), "{error}");
    assert_eq!(found(&sample.volume), None, "its run is alive");
    assert!(swept(&sample).is_empty());
    current(&sample, &next).unwrap();
    let error = current(&sample, &before).unwrap_err();
    assert!(matches!(&error, RepositoryError::TakenOver { pid, .. } if *pid == next.by.pid), "{error}");
    assert_eq!(list(&sample.repository, &sample.volume).unwrap().pending, [next]);
}

#[test]
fn who_was_taken_over_cannot_commit_and_removes_nothing() {
    let mut sample = Sample::new();
    let manifest = Manifest { backup: "d1".parse().unwrap(), ..sample.backup("b1", None, &[1]) };
    let (before, next) = interrupted(&sample);
    resume(&sample.repository, &before, &next, None).unwrap();
    let keys = sample.keys();
    let error = sample.repository.commit(&manifest).unwrap_err();
    assert!(matches!(error, RepositoryError::TakenOver { .. }), "{error}");
    for kept in [false, true] {
        assert_eq!(
            crate::conclude::give_up(&sample.repository, &before, kept).unwrap(),
            crate::conclude::Left::TakenOver
        );
    }
    assert_eq!(sample.keys(), keys);
    sample.repository.commit(&Manifest { generation: 1, ..manifest.clone() }).unwrap();
    let error = sample.repository.commit(&manifest).unwrap_err();
    assert!(matches!(error, RepositoryError::TakenOver { .. }), "{error}");
    assert_eq!(crate::conclude::finish(&sample.repository, &next).unwrap().generation, 1);
    assert!(!sample.has("segments/000000", "vol/d1"), "it is of no use");
    assert!(list(&sample.repository, &sample.volume).unwrap().pending.is_empty());
}

/// A run took over and died before it ended the previous one. The next run ends both.
#[test]
fn every_attempt_that_may_still_live_is_ended() {
    for force in [false, true] {
        let sample = Sample::new();
        let (_, next) = interrupted(&sample);
        let second = Pending { attempt: 1, ..dead(&sample, "d1", None) };
        create(&sample.repository, &second).unwrap();
        if force {
            discard(&sample.repository, &sample.volume, &next.backup).unwrap();
            assert_eq!(sample.keys(), ["vol/d1/manifest-0.json", "vol/d1/manifest-1.json"]);
        } else {
            resume(&sample.repository, &second, &Pending { attempt: 2, ..next }, None).unwrap();
            assert!(sample.has("manifest-0.json", "vol/d1") && sample.has("manifest-1.json", "vol/d1"));
            assert!(sample.has("segments/000000", "vol/d1"));
        }
    }
}

#[test]
fn what_was_cleared_away_is_not_gone_on_with() {
    let sample = Sample::new();
    let (before, next) = interrupted(&sample);
    assert_eq!(swept(&sample), ["d1"]);
    let error = resume(&sample.repository, &before, &next, None).unwrap_err();
    assert!(matches!(error, RepositoryError::Withdrawn { .. }), "{error}");
    assert_eq!(sample.keys(), ["vol/d1/manifest-0.json"], "no marker of ours is left");
    let error = current(&sample, &before).unwrap_err();
    assert!(matches!(error, RepositoryError::Deleted { .. }), "{error}");
}

#[test]
fn what_has_committed_meanwhile_is_not_gone_on_with() {
    let mut sample = Sample::new();
    let before = dead(&sample, "b1", None);
    create(&sample.repository, &before).unwrap();
    sample.backup("b1", None, &[1, 3]);
    let next = Pending { attempt: 1, ..of(&sample, "b1", None) };
    let keys = sample.keys();
    let error = resume(&sample.repository, &before, &next, None).unwrap_err();
    assert!(matches!(error, RepositoryError::Withdrawn { .. }), "{error}");
    assert_eq!(sample.keys(), keys);
    discard(&sample.repository, &sample.volume, &next.backup).unwrap();
    sample.check("b1", &[1, 3]);
}

#[test]
fn who_starts_over_leaves_nothing_of_what_was_before() {
    let sample = Sample::new();
    let (before, next) = interrupted(&sample);
    start_over(&sample.repository, &before, &next, None).unwrap();
    assert_eq!(sample.keys(), ["manifest-0", "pending-0", "pending-1"].map(|name| format!("vol/d1/{name}.json")));
    current(&sample, &next).unwrap();
}

#[test]
fn a_run_that_failed_leaves_a_tombstone_and_its_id_is_used_again_by_a_later_attempt() {
    use crate::conclude::{Left, give_up};
    let sample = Sample::new();
    let marker = of(&sample, "b1", None);
    begin(&sample.repository, &marker, None).unwrap();
    sample.write("vol/b1/segments/000000", b"some");
    assert_eq!(give_up(&sample.repository, &marker, true).unwrap(), Left::Segments { count: 1, bytes: 4 });
    assert_eq!(give_up(&sample.repository, &marker, false).unwrap(), Left::Nothing);
    assert_eq!(sample.keys(), ["vol/b1/manifest-0.json"]);
    let error = begin(&sample.repository, &marker, None).unwrap_err();
    assert!(matches!(error, RepositoryError::BackupExists { .. }), "the keys of attempt 0 are not used again: {error}");
    let view = sample.repository.view(&sample.volume).unwrap();
    let next = Pending { attempt: view.first_attempt(&marker.backup), ..of(&sample, "b1", None) };
    assert_eq!(next.attempt, 1);
    begin(&sample.repository, &next, None).unwrap();
    current(&sample, &next).unwrap();
    assert_eq!(sample.keys(), ["vol/b1/manifest-0.json", "vol/b1/pending-1.json"]);
}

#[test]
fn a_backup_that_cannot_begin_does_not_free_its_markers_key() {
    let sample = Sample::new();
    let marker = of(&sample, "b1", Some("gone"));
    assert!(matches!(begin(&sample.repository, &marker, None), Err(RepositoryError::ParentGone { .. })));
    assert_eq!(sample.keys(), ["vol/b1/manifest-0.json"]);
    assert_eq!(sample.repository.view(&sample.volume).unwrap().first_attempt(&marker.backup), 1);
}

#[test]
fn an_id_that_another_run_uses_is_refused_whatever_the_number_of_the_attempt() {
    let sample = Sample::new();
    let ours = of(&sample, "b1", None);
    begin(&sample.repository, &ours, None).unwrap();
    assert_eq!(sample.repository.view(&sample.volume).unwrap().first_attempt(&ours.backup), 0, "so it can't begin");
    let later = Pending { attempt: 1, ..of(&sample, "b1", None) };
    assert!(matches!(begin(&sample.repository, &later, None), Err(RepositoryError::Pending { .. })));
    current(&sample, &ours).unwrap();
    assert_eq!(sample.keys(), ["vol/b1/pending-0.json"]);
}

/// A look lists both markers of a run that is being taken over. The upper one is gone before it is read.
#[test]
fn while_the_last_marker_goes_the_one_below_it_counts() {
    let sample = Sample::new();
    let (before, next) = interrupted(&sample);
    create(&sample.repository, &next).unwrap();
    let contents = sample.repository.contents(&sample.volume).unwrap();
    remove_own(&sample.repository, &next).unwrap();
    let markers = crate::markers::Markers::in_listing(&sample.repository, &sample.volume, &contents).unwrap();
    assert_eq!(markers.pending, [before]);
}

#[test]
fn a_verdict_about_an_earlier_run_of_the_same_id_is_not_carried_out() {
    let sample = Sample::new();
    let (before, next) = interrupted(&sample);
    let view = sample.repository.view(&sample.volume).unwrap();
    remove_own(&sample.repository, &before).unwrap();
    create(&sample.repository, &of(&sample, "d1", None)).unwrap();
    let keys = sample.keys();
    assert!(sweep(&sample.repository, &sample.volume, &view, None).unwrap().is_empty());
    let error = resume(&sample.repository, &before, &next, None).unwrap_err();
    assert!(matches!(error, RepositoryError::Withdrawn { .. }), "{error}");
    assert_eq!(sample.keys(), keys);
}

/// The run of attempt 1 took over from attempt 0 and died before its tombstone. Then attempt 0 committed.
#[test]
fn a_manifest_that_came_meanwhile_is_not_covered_by_a_tombstone() {
    let mut sample = Sample::new();
    sample.backup("b1", None, &[1, 3]);
    let before = Pending { attempt: 1, ..dead(&sample, "b1", None) };
    create(&sample.repository, &dead(&sample, "b1", None)).unwrap();
    create(&sample.repository, &before).unwrap();
    let next = Pending { attempt: 2, ..of(&sample, "b1", None) };
    let error = resume(&sample.repository, &before, &next, None).unwrap_err();
    assert!(matches!(error, RepositoryError::Withdrawn { .. }), "{error}");
    sample.check("b1", &[1, 3]);
}

#[test]
fn an_attempt_whose_number_has_committed_meanwhile_is_withdrawn() {
    let mut sample = Sample::new();
    let manifest = Manifest { generation: 1, ..sample.backup("b1", None, &[1, 3]) };
    sample.remove("vol/b1/manifest-0.json");
    sample.repository.commit(&manifest).unwrap();
    let before = dead(&sample, "b1", None);
    create(&sample.repository, &before).unwrap();
    let keys = sample.keys();
    let next = Pending { attempt: 1, ..of(&sample, "b1", None) };
    let error = resume(&sample.repository, &before, &next, None).unwrap_err();
    assert!(matches!(error, RepositoryError::Withdrawn { .. }), "{error}");
    assert_eq!(sample.keys(), keys);
}

#[test]
fn nothing_is_reclaimed_beside_a_backup_that_only_a_later_version_may_change() {
    let mut sample = Sample::new();
    sample.backup("b1", None, &[1]);
    sample.backup("b2", Some("b1"), &[3]);
    let mut later = sample.backup("b3", Some("b2"), &[5]);
    later.needs_to_write = septet_format::Features::try_from(vec!["pins".to_owned()]).unwrap();
    sample.write("vol/b3/manifest-0.json", &later.encode());
    create(&sample.repository, &dead(&sample, "d1", None)).unwrap();
    let keys = sample.keys();
    assert!(swept(&sample).is_empty());
    for backups in [vec!["b3", "b1"], vec!["b1", "b3"], vec!["b1"]] {
        let backups: Vec<_> = backups.into_iter().map(|backup| backup.parse().unwrap()).collect();
        let error = reclaim::delete_all(&sample.repository, &sample.volume, &backups).unwrap_err();
        assert!(error.to_string().contains("pins"), "{error}");
    }
    let error = reclaim::run(&sample.repository, &sample.volume, &[]).unwrap_err();
    assert!(error.to_string().contains("pins"), "{error}");
    assert_eq!(sample.keys(), keys);
}

#[test]
fn a_tombstone_goes_when_it_is_a_day_old_and_nothing_else_is_left() {
    let mut sample = Sample::new();
    sample.backup("b1", None, &[1, 3]);
    sample.backup("b2", Some("b1"), &[1, 5]);
    let (before, next) = interrupted(&sample);
    resume(&sample.repository, &before, &next, None).unwrap();
    discard(&sample.repository, &sample.volume, &next.backup).unwrap();
    sample.delete("b1");
    let has = |name: &str| sample.has(name, "vol");
    let tombstones = ["b1/manifest-1.json", "d1/manifest-0.json", "d1/manifest-1.json"];
    sample.let_hours_pass(23);
    swept(&sample);
    assert!(tombstones.iter().all(|name| has(name)), "{:?}", sample.keys());
    sample.let_hours_pass(2);
    swept(&sample);
    let last = ["d1/manifest-4095.json"];
    assert!(last.iter().all(|name| has(name)) && !has("d1/manifest-0.json"), "{:?}", sample.keys());
    let marker = Pending { attempt: 4096, ..of(&sample, "d1", None) };
    assert!(matches!(begin(&sample.repository, &marker, None), Err(RepositoryError::BackupExists { .. })));
    sample.let_hours_pass(25);
    swept(&sample);
    assert!(has("b1/manifest-1.json") && !has("d1"), "b2 needs what lies under b1: {:?}", sample.keys());
    sample.delete("b2");
    assert_eq!(sample.keys(), ["vol/b1/manifest-1.json", "vol/b2/manifest-1.json"]);
    for _ in 0..2 {
        assert!(!sample.keys().is_empty());
        sample.let_hours_pass(25);
        swept(&sample);
    }
    assert!(sample.keys().is_empty(), "{:?}", sample.keys());
    begin(&sample.repository, &of(&sample, "b1", None), None).unwrap();
}

/// A run put the last tombstone and died before it removed the others.
#[test]
fn the_last_tombstone_stays_for_a_day_after_the_others() {
    let mut sample = Sample::new();
    sample.backup("b1", None, &[1]);
    sample.delete("b1");
    let deleted = sample.read("vol/b1/manifest-1.json");
    sample.let_hours_pass(25);
    swept(&sample);
    assert_eq!(sample.keys(), ["vol/b1/manifest-4095.json"]);
    sample.write("vol/b1/manifest-1.json", &deleted);
    for hours in [25, 23] {
        sample.let_hours_pass(hours);
        swept(&sample);
        assert_eq!(sample.keys(), ["vol/b1/manifest-4095.json"]);
    }
    sample.let_hours_pass(2);
    swept(&sample);
    assert!(sample.keys().is_empty());
}

#[test]
fn a_volume_is_forgotten_only_if_tombstones_are_all_that_is_left() {
    let mut sample = Sample::new();
    sample.backup("b1", None, &[1]);
    sample.backup("b2", None, &[3]);
    sample.delete("b1");
    let before = sample.keys();
    reclaim::forget(&sample.repository, &sample.volume).unwrap();
    assert_eq!(sample.keys(), before);
    sample.delete("b2");
    reclaim::forget(&sample.repository, &sample.volume).unwrap();
    assert!(sample.keys().is_empty(), "{:?}", sample.keys());
}

#[test]
fn the_tombstone_of_an_attempt_stays_for_a_day_after_a_later_one_has_committed() {
    let mut sample = Sample::new();
    let manifest = Manifest { generation: 1, ..sample.backup("b1", None, &[1]) };
    sample.remove("vol/b1/manifest-0.json");
    let before = dead(&sample, "b1", None);
    create(&sample.repository, &before).unwrap();
    let next = Pending { attempt: 1, ..of(&sample, "b1", None) };
    resume(&sample.repository, &before, &next, None).unwrap();
    sample.let_hours_pass(25);
    sample.repository.commit(&manifest).unwrap();
    crate::conclude::finish(&sample.repository, &next).unwrap();
    swept(&sample);
    assert!(sample.has("manifest-0.json", "vol/b1"));
    sample.let_hours_pass(25);
    swept(&sample);
    assert!(!sample.has("manifest-0.json", "vol/b1"));
    sample.check("b1", &[1]);
}

#[test]
fn a_parent_that_is_known_is_not_read_again_and_missed_when_it_is_gone() {
    let mut sample = Sample::new();
    let known = sample.backup("b1", None, &[1]);
    // Nothing reads it: the listing shows that it exists, and it was read before.
    sample.flip("vol/b1/manifest-0.json", 20);
    let marker = of(&sample, "b2", Some("b1"));
    assert_eq!(begin(&sample.repository, &marker, Some(&known)).unwrap(), Some(known.clone()));
    assert!(begin(&sample.repository, &of(&sample, "b3", Some("b1")), None).unwrap_err().is_damage());
    sample.flip("vol/b1/manifest-0.json", 20);
    tombstone::delete(&sample.repository, &sample.volume, &known.backup).unwrap();
    let error = begin(&sample.repository, &of(&sample, "b4", Some("b1")), Some(&known)).unwrap_err();
    assert!(matches!(error, RepositoryError::ParentGone { .. }), "{error}");
}

#[test]
fn a_later_generation_of_the_parent_is_the_one_that_counts() {
    let mut sample = Sample::new();
    let known = sample.backup("b1", None, &[1]);
    let later = Manifest { generation: 1, ..known.clone() };
    sample.repository.commit(&later).unwrap();
    let marker = of(&sample, "b2", Some("b1"));
    assert_eq!(begin(&sample.repository, &marker, Some(&known)).unwrap(), Some(later));
}
