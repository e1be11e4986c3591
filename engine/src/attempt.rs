//! One run of the ring that makes a backup, from the marker that says so to the marker's removal; and what
//! is made of a run that failed: another in another way, or something that the next command goes on with.

use anyhow::Context;
use septet_format::{Manifest, Pending, Source, keys};
use septet_ipc::{BackupJob, Begin, Failure, FailureKind, Resume};
use septet_repository::conclude::{self, Left};
use septet_repository::pending;
use septet_repository::resume::Interrupted;

use crate::words::{number_of, size};
use crate::{Doing, Engine, Made, Observer, Report, RunError};

/// A backup that is to be made, by as many runs as it takes.
pub(super) struct Attempt<'a> {
    pub(super) engine: &'a Engine<'a>,
    pub(super) job: BackupJob,
    /// What tells the source from every other, if it does not change.
    pub(super) snapshot: Option<String>,
    /// What a run that died has left of it.
    pub(super) interrupted: Option<Interrupted>,
    /// The marker of our own run that failed and is followed by one that does it in another way.
    pub(super) failed: Option<Pending>,
    /// Whether the parent was chosen for the user: then another choice is as good.
    pub(super) free_parent: bool,
}

impl Attempt<'_> {
    /// Makes the backup.
    pub(super) fn make(&mut self, observer: &mut dyn Observer) -> anyhow::Result<Made> {
        loop {
            let marker = self.begin(observer)?;
            let Pending { volume, backup, .. } = &marker;
            observer.begins(&Doing::BackUp { volume, backup, parent: marker.parent.as_ref() });
            let error = match self.engine.runner.run(&Begin::Backup(self.job.clone()), observer) {
                Ok(report) => return Ok(self.made(conclude::finish(&self.engine.repository, &marker)?, report)),
                Err(error) => error,
            };
            if let Some(note) = self.other_way(&error) {
                self.change_way(marker, &note, &error, observer);
                continue;
            }
            let left = conclude::give_up(&self.engine.repository, &marker, self.can_go_on(&error))
                .with_context(|| format!("{error}; and then clearing away what it left"))?;
            return Err(told(left, &marker, error, observer));
        }
    }

    fn made(&self, manifest: Manifest, report: Report) -> Made {
        let end = keys::first_segment(self.job.attempt).unwrap_or(0);
        let own = manifest.sources.iter().filter(|source| source.backup == manifest.backup);
        let taken_over = own.flat_map(|source| &source.segments).filter(|segment| segment.number < end);
        Made { taken_over_bytes: taken_over.map(|segment| segment.bytes).sum(), manifest, report }
    }

    /// Says in the repository that the backup is in the making, by a new run or by one that goes on.
    fn begin(&mut self, observer: &mut dyn Observer) -> anyhow::Result<Pending> {
        let BackupJob { volume, backup, parent, .. } = &self.job;
        let Engine { repository, runner, .. } = self.engine;
        let (process, now) = (runner.process(), runner.now());
        let mut marker = pending::marker(repository, process, now, (volume, backup), parent.clone());
        marker.snapshot.clone_from(&self.snapshot);
        marker.source = Source {
            name: self.job.source.clone(),
            kind: self.job.source_kind.clone(),
            identity: self.job.source_identity.clone(),
        };
        match (&self.failed, &self.interrupted) {
            (Some(failed), _) => {
                marker.attempt = failed.attempt.saturating_add(1);
                pending::start_over(repository, &marker)?;
            }
            (None, Some(Interrupted { marker: before, unchanged })) => {
                marker.attempt = before.attempt.saturating_add(1);
                pending::resume(repository, &marker)?;
                let read = if *unchanged { "is not read again" } else { "is read again and compared" };
                let backup = format!("{volume}/{backup}");
                observer.note(&format!("going on with the interrupted backup {backup}: what is stored of it {read}"));
                self.job.resume = Some(Resume { unchanged: *unchanged });
            }
            (None, None) => drop(pending::begin(repository, &marker)?),
        }
        self.job.attempt = marker.attempt;
        Ok(marker)
    }

    /// Whether another run may make use of what this one stored.
    fn can_go_on(&self, error: &RunError) -> bool {
        // What a full repository needs most is room.
        let full = matches!(error, RunError::Failed(failure) if failure.kind == FailureKind::NoSpace);
        // A stream of changes is not the same when it comes again.
        !full && self.job.spool.is_none()
    }

    /// Whether it may succeed in another way, and what to say of that.
    fn other_way(&self, error: &RunError) -> Option<String> {
        let RunError::Failed(Failure { kind, cause, .. }) = error else { return None };
        let trusting = self.job.resume.is_some() || self.job.base.is_some();
        match kind {
            FailureKind::Damaged if self.free_parent && self.job.parent.is_some() => {
                Some(format!("the newest backup can't be compared with ({error}): this one is full; see septet verify"))
            }
            FailureKind::Untrusted if trusting => Some(format!("{cause}: all of it is read and compared now")),
            _ => None,
        }
    }

    fn change_way(&mut self, failed: Pending, note: &str, error: &RunError, observer: &mut dyn Observer) {
        observer.note(note);
        if matches!(error, RunError::Failed(failure) if failure.kind == FailureKind::Damaged) {
            self.job.parent = None;
        }
        self.job.base = None;
        (self.job.resume, self.failed) = (None, Some(failed));
    }
}

/// The error of a run that failed for good, after the user was told what it left.
fn told(left: Left, marker: &Pending, error: RunError, observer: &mut dyn Observer) -> anyhow::Error {
    let Pending { volume, backup, .. } = marker;
    let interrupted = match left {
        Left::Whole => {
            observer.note(&format!("backup {volume}/{backup} was whole before that, and stays"));
            "nothing half-made was left behind"
        }
        Left::Nothing => "nothing half-made was left behind",
        Left::TakenOver => {
            observer.note(&format!("another run took this one for dead, and goes on with {volume}/{backup}"));
            "another run goes on with it"
        }
        Left::Segments { count, bytes } => {
            observer.note(&format!(
                "what was stored of {volume}/{backup} stays ({}, {}): the same command goes on with it, \
                 septet clean removes it",
                number_of(count as u64, "segment"),
                size(bytes)
            ));
            "the same command goes on with it"
        }
    };
    error.with_what_is_left(interrupted)
}
