//! The plan of a backup: what is the same in all attempts, what differs between them, and the job of each attempt.

use septet_format::{BackupId, Manifest, Pending, Source, Tracking, VolumeName};
use septet_ipc::{BackupJob, Failure, FailureKind, Resume};
use septet_repository::pending;
use septet_repository::resume::Interrupted;

use crate::{BackupRequest, Compare, Engine, RunError};

/// A backup that is to be made in one or more attempts.
pub(super) struct Plan<'a> {
    pub(super) engine: &'a Engine<'a>,
    pub(super) request: &'a BackupRequest,
    /// The repository's URL or path, as the agents get it.
    pub(super) repo: String,
    /// The volume's name in the repository.
    pub(super) volume: VolumeName,
    /// What the volume's earlier backups determine for this one.
    pub(super) history: History,
    /// The size limit of each pool.
    pub(super) pool_bytes: u64,
    /// The source.
    pub(super) source: Source,
    /// The source's identity from its storage, if the user named a snapshot.
    pub(super) tracking: Option<Tracking>,
    /// The tracking state of the parent; none: the source is not asked what changed.
    pub(super) base: Option<Tracking>,
    /// Identifies a source that does not change.
    pub(super) snapshot: Option<String>,
    /// The interrupted run that this one resumes.
    pub(super) interrupted: Option<Interrupted>,
}

/// What the volume's earlier backups determine for the next one.
pub(super) struct History {
    /// The id of the new backup.
    pub(super) id: BackupId,
    /// The number of the first attempt at it.
    pub(super) first_attempt: u32,
    /// The backup with which it is compared.
    pub(super) parent: Option<Manifest>,
    /// Its sequence number in the volume's history.
    pub(super) sequence: u64,
    /// The block size.
    pub(super) block_bytes: u32,
}

/// One attempt: its parent, and what it relies on.
pub(super) struct Attempt {
    /// Its number, which is also the generation of the manifest that it commits.
    pub(super) number: u32,
    /// What is stored of the backup when it starts.
    pub(super) start: Start,
    /// The parent, as it was found; none: this attempt makes a full backup.
    pub(super) parent: Option<Manifest>,
    /// The tracking state of the parent; none: the source is not asked what changed.
    pub(super) base: Option<Tracking>,
}

/// What is stored of the backup when an attempt starts.
pub(super) enum Start {
    /// Nothing.
    New,
    /// The segments of an interrupted run. They are taken over.
    GoOn(Interrupted),
    /// The segments of this command's own failed attempt, whose marker this is. They are removed.
    Over(Pending),
}

impl Attempt {
    /// The first attempt of this command.
    pub(super) fn first(plan: &Plan) -> Self {
        let parent = plan.history.parent.clone();
        let base = plan.base.clone();
        match &plan.interrupted {
            None => Self { number: plan.history.first_attempt, start: Start::New, parent, base },
            Some(interrupted) => Self {
                number: interrupted.marker.attempt.saturating_add(1),
                start: Start::GoOn(interrupted.clone()),
                parent,
                // The stored segments may be from another point in time than the parent and than the current source.
                base: base.filter(|_| interrupted.unchanged),
            },
        }
    }

    /// The attempt that may succeed after this one, whose marker is given, failed; and a note for the user.
    pub(super) fn after(&self, plan: &Plan, marker: &Pending, error: &RunError) -> Option<(Self, String)> {
        let RunError::Failed(Failure { kind, cause, .. }) = error else { return None };
        let trusting = matches!(self.start, Start::GoOn(_)) || self.base.is_some();
        let number = self.number.saturating_add(1);
        let over = |parent| Self { number, start: Start::Over(marker.clone()), parent, base: None };
        match kind {
            FailureKind::Damaged if plan.may_be_full() && self.parent.is_some() => Some((
                over(None),
                format!(
                    "the newest backup cannot be used for comparison ({error}): this backup is full; see septet verify"
                ),
            )),
            FailureKind::Untrusted if trusting => {
                Some((over(self.parent.clone()), format!("{cause}: the whole volume is read and compared now")))
            }
            _ => None,
        }
    }
}

impl Plan<'_> {
    /// The backup's id: the id of the interrupted backup if this run resumes one.
    pub(super) fn backup(&self) -> &BackupId {
        self.interrupted.as_ref().map_or(&self.history.id, |interrupted| &interrupted.marker.backup)
    }

    /// Whether the user left the choice of the parent to Septet. Then a full backup is acceptable too.
    pub(super) fn may_be_full(&self) -> bool {
        !matches!(self.request.compare, Compare::With(_))
    }

    /// The marker of an attempt.
    pub(super) fn marker(&self, attempt: &Attempt) -> Pending {
        let Engine { repository, runner, .. } = self.engine;
        let names = (&self.volume, self.backup());
        let parent = attempt.parent.as_ref().map(|parent| parent.backup.clone());
        let first = pending::marker(repository, runner.process(), runner.now(), names, parent);
        Pending { attempt: attempt.number, source: self.source.clone(), snapshot: self.snapshot.clone(), ..first }
    }

    /// The job of an attempt. `parent` is the parent in its current state.
    pub(super) fn job(&self, attempt: &Attempt, parent: Option<&Manifest>) -> BackupJob {
        let Self { engine, request, .. } = self;
        BackupJob {
            source: self.source.name.clone(),
            source_kind: self.source.kind.clone(),
            source_identity: self.source.identity.clone(),
            machine: septet_repository::machine(),
            repo: self.repo.clone(),
            repository: engine.repository.id(),
            volume: self.volume.clone(),
            backup: self.backup().clone(),
            attempt: attempt.number,
            parent: parent.map(Manifest::reference),
            sequence: self.history.sequence,
            metadata: request.metadata.clone(),
            block_bytes: self.history.block_bytes,
            compression: request.compression,
            streams: request.streams,
            pool_bytes: self.pool_bytes,
            segment_bytes: request.segment_bytes,
            // The reader finds this out when it opens the volume.
            volume_bytes: None,
            resume: match &attempt.start {
                Start::New | Start::Over(_) => None,
                Start::GoOn(Interrupted { unchanged, .. }) => Some(Resume { unchanged: *unchanged }),
            },
            tracking: self.tracking.clone().map(Box::new),
            base: attempt.base.clone().map(Box::new),
            audit_ppm: if request.source.image().is_some() { request.audit_ppm } else { 0 },
            spool: request.spool.as_ref().map(|spool| spool.to_string_lossy().into_owned()),
        }
    }
}
