//! Markers: which runs they keep away, what they protect, and what is removed with those of dead runs.

use super::*;
use crate::sample::Sample;

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
    assert!(error.to_string().contains("parts of it are still there"), "{error}");
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
    assert_eq!(swept(&sample), ["b1"]);
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
    resume(&sample.repository, &next, None).unwrap();
    let error = resume(&sample.repository, &next, None).unwrap_err();
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
    resume(&sample.repository, &next, None).unwrap();
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
        create(&sample.repository, &Pending { attempt: 1, ..dead(&sample, "d1", None) }).unwrap();
        if force {
            discard(&sample.repository, &sample.volume, &next.backup).unwrap();
            assert_eq!(sample.keys(), ["vol/d1/manifest-0.json", "vol/d1/manifest-1.json"]);
        } else {
            resume(&sample.repository, &Pending { attempt: 2, ..next }, None).unwrap();
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
    let error = resume(&sample.repository, &next, None).unwrap_err();
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
    let error = resume(&sample.repository, &next, None).unwrap_err();
    assert!(matches!(error, RepositoryError::Withdrawn { .. }), "{error}");
    assert_eq!(sample.keys(), keys);
    discard(&sample.repository, &sample.volume, &next.backup).unwrap();
    sample.check("b1", &[1, 3]);
}

#[test]
fn who_starts_over_leaves_nothing_of_what_was_before() {
    let sample = Sample::new();
    let (_, next) = interrupted(&sample);
    start_over(&sample.repository, &next, None).unwrap();
    assert_eq!(sample.keys(), ["manifest-0", "pending-0", "pending-1"].map(|name| format!("vol/d1/{name}.json")));
    current(&sample, &next).unwrap();
}

#[test]
fn a_run_that_failed_leaves_a_tombstone_only_if_its_manifest_may_be_on_its_way() {
    use crate::conclude::{Left, give_up};
    let sample = Sample::new();
    for tables in [false, true] {
        let marker = of(&sample, if tables { "b2" } else { "b1" }, None);
        begin(&sample.repository, &marker, None).unwrap();
        sample.write(&format!("vol/{}/segments/000000", marker.backup), b"some");
        if tables {
            sample.write(&format!("vol/{}/map-0", marker.backup), b"some");
        }
        assert_eq!(give_up(&sample.repository, &marker, true).unwrap(), Left::Segments { count: 1, bytes: 4 });
        assert_eq!(give_up(&sample.repository, &marker, false).unwrap(), Left::Nothing);
    }
    assert_eq!(sample.keys(), ["vol/b2/manifest-0.json"]);
}

#[test]
fn a_tombstone_goes_when_it_is_a_day_old_and_nothing_else_is_left() {
    let mut sample = Sample::new();
    sample.backup("b1", None, &[1, 3]);
    sample.backup("b2", Some("b1"), &[1, 5]);
    let (_, next) = interrupted(&sample);
    resume(&sample.repository, &next, None).unwrap();
    discard(&sample.repository, &sample.volume, &next.backup).unwrap();
    sample.delete("b1");
    let has = |name: &str| sample.has(name, "vol");
    let tombstones = ["b1/manifest-1.json", "d1/manifest-0.json", "d1/manifest-1.json"];
    sample.let_hours_pass(23);
    swept(&sample);
    assert!(tombstones.iter().all(|name| has(name)), "{:?}", sample.keys());
    sample.let_hours_pass(2);
    swept(&sample);
    assert!(has("b1/manifest-1.json") && !has("d1"), "b2 needs what lies under b1: {:?}", sample.keys());
    sample.delete("b2");
    assert_eq!(sample.keys(), ["vol/b1/manifest-1.json", "vol/b2/manifest-1.json"]);
    sample.let_hours_pass(25);
    swept(&sample);
    assert!(sample.keys().is_empty(), "{:?}", sample.keys());
    begin(&sample.repository, &of(&sample, "b1", None), None).unwrap();
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
    create(&sample.repository, &dead(&sample, "b1", None)).unwrap();
    let next = Pending { attempt: 1, ..of(&sample, "b1", None) };
    resume(&sample.repository, &next, None).unwrap();
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
