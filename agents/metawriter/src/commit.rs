//! The end of a backup: writes checksums, map, and finally the manifest, which commits the backup.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::thread;
use std::time::Instant;

use septet_format::{
    BlockCounts, FORMAT_VERSION, Features, Geometry, Manifest, SegmentRef, Source, SourceBackup, TableRef,
};
use septet_ipc::message::SegmentLine;
use septet_ipc::{BackupJob, Compression, Failure, Worker};
use septet_repository::{NewTable, Repository, RepositoryError, TableKind, pending};

use crate::rows::Rows;
use crate::tables::Tables;

/// What a commit needs of the agent.
#[derive(Clone, Copy)]
pub(crate) struct Commit<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) job: &'a BackupJob,
    pub(crate) geometry: &'a Geometry,
    pub(crate) tables: &'a Tables,
    /// When the run began.
    pub(crate) started: Instant,
    pub(crate) created: jiff::Timestamp,
}

/// Counters of the running backup.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) blocks: BlockCounts,
    pub(crate) bytes_read: u64,
    pub(crate) segments: Vec<SegmentLine>,
}

/// Writes the tables and then the manifest. While the tables are written, checks whether this attempt may still commit.
/// After that, only the conditional write of the manifest's key decides.
pub(crate) fn commit(agent: Commit<'_>, counted: Counted, worker: &Worker<'_>) -> Result<(), Failure> {
    let BackupJob { volume, backup, attempt, .. } = agent.job;
    let manifest = thread::scope(|scope| {
        let current = scope.spawn(|| pending::check_current(agent.repository, volume, backup, *attempt));
        let manifest = write_tables(agent, counted, worker);
        let current = current.join().map_err(|_| Failure::protocol("the check of the backup's markers panicked"))?;
        current.map_err(not_stored)?;
        manifest
    })?;
    agent.repository.commit(&manifest).map_err(not_stored)
}

/// Writes the tables. Returns the manifest.
fn write_tables(agent: Commit<'_>, counted: Counted, worker: &Worker<'_>) -> Result<Manifest, Failure> {
    let tables = agent.tables;
    let own = own_segments(counted.segments, tables.first_segment)?;
    let rows = Rows::count(&tables.map, tables.own_row as usize + own.len(), || worker.step())?;
    let (checksums, map) = put_tables(agent, &rows, worker)?;
    let sources = sources(agent, &rows, own);
    let own = sources.iter().filter(|source| source.backup == agent.job.backup).flat_map(|source| &source.segments);
    let segments_bytes: u64 = own.map(|segment| segment.bytes).sum();
    Ok(Manifest {
        format: FORMAT_VERSION,
        needs_to_read: Features::of_this_version(),
        needs_to_write: Features::of_this_version(),
        repository: agent.repository.id(),
        volume: agent.job.volume.clone(),
        backup: agent.job.backup.clone(),
        generation: agent.job.attempt,
        parent: agent.job.parent.as_ref().map(|parent| parent.backup.clone()),
        sequence: agent.job.sequence,
        created: agent.created,
        machine: agent.job.machine.clone(),
        source: Source {
            name: agent.job.source.clone(),
            kind: agent.job.source_kind.clone(),
            identity: agent.job.source_identity.clone(),
        },
        tool: concat!("septet ", env!("CARGO_PKG_VERSION")).to_owned(),
        volume_bytes: agent.geometry.volume_bytes(),
        block_bytes: agent.geometry.block_bytes(),
        compression: match agent.job.compression {
            Compression::Lz4 => "lz4".to_owned(),
            Compression::None => "none".to_owned(),
        },
        hash: "blake3".to_owned(),
        blocks: counted.blocks,
        bytes_read: counted.bytes_read,
        bytes_stored: segments_bytes + checksums.bytes + map.bytes,
        seconds: agent.started.elapsed().as_secs_f64(),
        checksums,
        map,
        sources,
        tracking: agent.job.tracking.as_deref().cloned(),
        extensions: extensions(agent),
    })
}

/// The user's metadata, which is stored with the backup.
fn extensions(agent: Commit<'_>) -> BTreeMap<String, serde_json::Value> {
    agent.job.metadata.iter().map(|metadata| ("metadata".to_owned(), metadata.clone())).collect()
}

/// This backup's segments, sorted by number. None of those that this attempt has written may be missing.
fn own_segments(mut segments: Vec<SegmentLine>, first: u32) -> Result<Vec<SegmentLine>, Failure> {
    segments.sort_by_key(|segment| segment.number);
    let written = segments.iter().filter(|segment| segment.number >= first);
    let complete = written.zip(first..).all(|(segment, number)| segment.number == number);
    complete.then_some(segments).ok_or_else(|| Failure::protocol("a segment was not reported as complete"))
}

/// Every segment that the map references, the parent's first. The map's rows use the same order.
fn sources(agent: Commit<'_>, rows: &Rows, own: Vec<SegmentLine>) -> Vec<SourceBackup> {
    let own = SourceBackup {
        repository: agent.repository.id(),
        volume: agent.job.volume.clone(),
        backup: agent.job.backup.clone(),
        segments: own
            .into_iter()
            .map(|segment| SegmentRef {
                number: segment.number,
                bytes: segment.bytes,
                hash: segment.hash,
                live_bytes: 0,
            })
            .collect(),
    };
    let parents = agent.tables.parent.iter().flat_map(|parent| parent.sources.iter().cloned());
    let mut live = rows.live_bytes.iter();
    let mut sources: Vec<SourceBackup> = parents.chain([own]).collect();
    for source in &mut sources {
        source.segments.retain_mut(|segment| {
            // The writer of the segment may have used less padding than we count.
            segment.live_bytes = live.next().copied().unwrap_or(0).min(segment.bytes);
            segment.live_bytes > 0
        });
    }
    sources.retain(|source| !source.segments.is_empty());
    sources
}

/// Stores both tables concurrently.
fn put_tables(agent: Commit<'_>, rows: &Rows, worker: &Worker<'_>) -> Result<(TableRef, TableRef), Failure> {
    let (tables, job) = (agent.tables, agent.job);
    let (volume, backup, generation) = (&job.volume, &job.backup, job.attempt);
    let checksums =
        NewTable { volume, backup, generation, kind: TableKind::Checksums, entries: agent.geometry.blocks() };
    let map = NewTable { kind: TableKind::Map, ..checksums };
    let (checksums, map) = thread::scope(|scope| {
        let read = |first, into: &mut [u8]| tables.checksums.read(first, into).map_err(NotStored);
        let checksums = scope.spawn(move || agent.repository.put_table(checksums, read, || worker.step()));
        let read = |first, into: &mut [u8]| rows.read(&tables.map, first, into).map_err(NotStored);
        let map = worker.outside(|| agent.repository.put_table(map, read, || worker.step()));
        (worker.outside(|| checksums.join()).unwrap_or_else(|panic| resume_unwind(panic)), map)
    });
    Ok((checksums.map_err(NotStored::failure)?, map.map_err(NotStored::failure)?))
}

/// The reason why a table was not stored, from either side of the copy.
struct NotStored(Failure);

impl NotStored {
    fn failure(self) -> Failure {
        self.0
    }
}

impl From<RepositoryError> for NotStored {
    fn from(error: RepositoryError) -> Self {
        Self(not_stored(error))
    }
}

fn not_stored(error: RepositoryError) -> Failure {
    Failure::storing(error.is_full(), error)
}
