//! The plan of a backup: what is the same in all attempts, what differs between them, and the job of each attempt.

use septet_format::{BackupId, Manifest, Pending, Source, Tracking, VolumeName};
use septet_ipc::{BackupJob, Failure, FailureKind, Resume};
use septet_repository::pending;
use septet_repository::resume::Interrupted;

use crate::{BackupRequest, Compare, Engine, RunError};

/// A backup that is to be made, by as many attempts as it takes.
pub(super) struct Plan<'a> {
    pub(super) engine: &'a Engine<'a>,
    pub(super) request: &'a BackupRequest,
    /// The repository, as the agents are told of it.
    pub(super) repo: String,
    /// The volume's name in the repository.
    pub(super) volume: VolumeName,
    /// What earlier backups decide for this one.
    pub(super) history: History,
    /// How large each pool may become.
    pub(super) pool_bytes: u64,
    /// What is read.
    pub(super) source: Source,
    /// What the source says of itself, if a snapshot of it was named.
    pub(super) tracking: Option<Tracking>,
    /// What the parent read; none: the source is not asked what changed since.
    pub(super) base: Option<Tracking>,
    /// Identifies a source that does not change.
    pub(super) snapshot: Option<String>,
    /// What a run that died has left of it.
    pub(super) interrupted: Option<Interrupted>,
}

/// What the volume's earlier backups decide for the next.
pub(super) struct History {
    /// The next one's id.
    pub(super) id: BackupId,
    /// What it is compared with.
    pub(super) parent: Option<Manifest>,
    /// Its place in the volume's history.
    pub(super) sequence: u64,
    /// The block size.
    pub(super) block_bytes: u32,
}

/// One attempt: what it compares with, and what it trusts.
pub(super) struct Attempt {
    /// Its number: the generation of what it commits.
    pub(super) number: u32,
    /// What is there when it starts.
    pub(super) start: Start,
    /// The backup that it compares with, as it was found; none: it makes a full one.
    pub(super) parent: Option<Manifest>,
    /// What the parent read; none: the source is not asked what changed since.
    pub(super) base: Option<Tracking>,
}

/// What is there of the backup when an attempt starts.
pub(super) enum Start {
    /// Nothing.
    New,
    /// The segments of a run that died. They are taken over.
    GoOn(Resume),
    /// The segments of our own attempt that failed. They are removed.
    Over,
}

impl Attempt {
    /// The first of this command.
    pub(super) fn first(plan: &Plan) -> Self {
        let parent = plan.history.parent.clone();
        let base = plan.base.clone();
        match &plan.interrupted {
            None => Self { number: 0, start: Start::New, parent, base },
            Some(Interrupted { marker, unchanged }) => Self {
                number: marker.attempt.saturating_add(1),
                start: Start::GoOn(Resume { unchanged: *unchanged }),
                parent,
                // What was stored may be of another moment than the parent and of another than now.
                base: base.filter(|_| *unchanged),
            },
        }
    }

    /// The attempt that may succeed where this one failed, and what to say of it.
    pub(super) fn after(&self, plan: &Plan, error: &RunError) -> Option<(Self, String)> {
        let RunError::Failed(Failure { kind, cause, .. }) = error else { return None };
        let trusting = matches!(self.start, Start::GoOn(_)) || self.base.is_some();
        let over = |parent| Self { number: self.number.saturating_add(1), start: Start::Over, parent, base: None };
        match kind {
            FailureKind::Damaged if plan.may_be_full() && self.parent.is_some() => Some((
                over(None),
                format!("the newest backup can't be compared with ({error}): this one is full; see septet verify"),
            )),
            FailureKind::Untrusted if trusting => {
                Some((over(self.parent.clone()), format!("{cause}: all of it is read and compared now")))
            }
            _ => None,
        }
    }
}

impl Plan<'_> {
    /// The backup's id: that of the interrupted backup, if there is one to go on with.
    pub(super) fn backup(&self) -> &BackupId {
        self.interrupted.as_ref().map_or(&self.history.id, |interrupted| &interrupted.marker.backup)
    }

    /// Whether the parent was chosen for the user: then another choice is as good.
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

    /// What the agents are to do in an attempt whose parent is `parent`, as it is now.
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
            // The reader knows it when it has opened the volume.
            volume_bytes: None,
            resume: match attempt.start {
                Start::New | Start::Over => None,
                Start::GoOn(resume) => Some(resume),
            },
            tracking: self.tracking.clone().map(Box::new),
            base: attempt.base.clone().map(Box::new),
            audit_ppm: if request.source.image().is_some() { request.audit_ppm } else { 0 },
            spool: request.spool.as_ref().map(|spool| spool.to_string_lossy().into_owned()),
        }
    }
}
