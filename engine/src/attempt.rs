//! The attempts at a backup. Each attempt is one run of the ring. It starts when its marker is written and ends when
//! the marker is removed. If an attempt fails, either another attempt follows that relies on less, or the failed one
//! leaves segments from which the next command resumes.

use anyhow::Context;
use septet_format::{Manifest, Pending, keys};
use septet_ipc::{Begin, FailureKind};
use septet_repository::conclude::{self, Left};
use septet_repository::resume::Interrupted;
use septet_repository::{RepositoryError, pending};

use crate::plan::{Attempt, Plan, Start};
use crate::words::{number_of, size};
use crate::{Doing, Made, Observer, Report, RunError};

/// Makes the backup.
pub(super) fn make(plan: &Plan, observer: &mut dyn Observer) -> anyhow::Result<Made> {
    let repository = &plan.engine.repository;
    let mut attempt = Attempt::first(plan);
    loop {
        let (marker, parent) = announce(plan, &attempt, observer)?;
        let job = plan.job(&attempt, parent.as_ref());
        let Pending { volume, backup, parent, .. } = &marker;
        observer.begins(&Doing::BackUp { volume, backup, parent: parent.as_ref() });
        let error = match plan.engine.runner.run(&Begin::Backup(job), observer) {
            Ok(report) => {
                let manifest = conclude::finish(repository, &marker).map_err(|error| after_commit(&marker, error))?;
                return Ok(made(&attempt, manifest, Report { own: repository.counts(), ..report }));
            }
            Err(error) => error,
        };
        if let Some((next, note)) = attempt.after(plan, &marker, &error) {
            observer.note(&note);
            attempt = next;
            continue;
        }
        let left = conclude::give_up(repository, &marker, can_go_on(plan, &error))
            .with_context(|| format!("{error}; and then removing its leftovers failed"))?;
        return Err(told(left, &marker, error, observer));
    }
}

/// Writes the marker of an attempt, new or resumed. Returns the marker, and the parent in its current state.
fn announce(
    plan: &Plan,
    attempt: &Attempt,
    observer: &mut dyn Observer,
) -> anyhow::Result<(Pending, Option<Manifest>)> {
    let repository = &plan.engine.repository;
    let marker = plan.marker(attempt);
    let known = attempt.parent.as_ref();
    let parent = match &attempt.start {
        Start::New => pending::begin(repository, &marker, known)?,
        Start::Over(previous) => pending::start_over(repository, previous, &marker, known)?,
        Start::GoOn(Interrupted { marker: previous, unchanged }) => {
            let parent = pending::resume(repository, previous, &marker, known)?;
            let read = if *unchanged { "are not read again" } else { "are read again and compared" };
            let backup = format!("{}/{}", marker.volume, marker.backup);
            observer.note(&format!("resuming the interrupted backup {backup}: its stored blocks {read}"));
            parent
        }
    };
    Ok((marker, parent))
}

/// The error of a run that failed after its commit.
fn after_commit(Pending { volume, backup, .. }: &Pending, error: RepositoryError) -> anyhow::Error {
    let is_deleted = matches!(error, RepositoryError::Deleted { .. });
    let error = anyhow::Error::from(error);
    if is_deleted {
        return error;
    }
    error.context(format!("backup {volume}/{backup} is complete and stays, but its marker could not be removed"))
}

fn made(attempt: &Attempt, manifest: Manifest, report: Report) -> Made {
    let end = keys::first_segment(attempt.number).unwrap_or(0);
    let own = manifest.sources.iter().filter(|source| source.backup == manifest.backup);
    let taken_over = own.flat_map(|source| &source.segments).filter(|segment| segment.number < end);
    Made { taken_over_bytes: taken_over.map(|segment| segment.bytes).sum(), manifest, report }
}

/// Whether another command may use what this one stored.
fn can_go_on(plan: &Plan, error: &RunError) -> bool {
    // A full repository needs free space more than a resumable backup.
    let full = matches!(error, RunError::Failed(failure) if failure.kind == FailureKind::NoSpace);
    // A stream of changes may differ when it is read again.
    !full && plan.request.spool.is_none()
}

/// Tells the user what the failed run left. Returns the run's error.
fn told(left: Left, marker: &Pending, error: RunError, observer: &mut dyn Observer) -> anyhow::Error {
    let Pending { volume, backup, .. } = marker;
    let interrupted = match left {
        Left::Whole => {
            observer.note(&format!("backup {volume}/{backup} was complete before that and stays"));
            "nothing incomplete was left behind"
        }
        Left::Nothing => "nothing incomplete was left behind",
        Left::TakenOver => {
            observer.note(&format!("another run considered this one dead and resumes {volume}/{backup}"));
            "another run resumes it"
        }
        Left::Segments { count, bytes } => {
            observer.note(&format!(
                "the stored segments of {volume}/{backup} stay ({}, {}): the same command resumes the backup, \
                 septet clean removes it",
                number_of(count as u64, "segment"),
                size(bytes)
            ));
            "the same command resumes it"
        }
    };
    error.with_what_is_left(interrupted)
}
