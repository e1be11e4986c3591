//! Makes a backup from a stream that `rbd export-diff` wrote.
//!
//! The stream is written into a sparse temporary file. Blocks that the stream changes only in part are completed from
//! the parent. Then that file is backed up like any volume. Blocks that the stream does not touch are taken from the
//! parent.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use septet_format::{BLOCK_BYTES_DEFAULT, BackupId, Geometry, Manifest, VolumeName};
use septet_ipc::Compression;
use septet_repository::{BackupReader, Repository};
use septet_volume::Spool;

use crate::diff_stream::{Head, Reader};
use crate::words::words;
use crate::{BackupRequest, Compare, Made, Observer, Result, Runner, back_up};

/// How much of a stream is in memory at a time, bytes.
const PIECE_BYTES: u64 = 1 << 20;

/// Makes a backup of a stream.
#[derive(Debug, Clone)]
pub struct ImportDiffRequest {
    /// The stream: a file, or `-` for standard input.
    pub file: PathBuf,
    /// The volume's name in the repository.
    pub volume: VolumeName,
    /// The backup's id; none: the name of the snapshot to which the stream leads.
    pub id: Option<BackupId>,
    /// The backup that the stream continues; none: the backup with the name of the snapshot from which the stream
    /// starts.
    pub parent: Option<BackupId>,
    /// The block size of a first backup; none: the default.
    pub block_bytes: Option<u32>,
    /// How blocks are stored.
    pub compression: Compression,
}

impl ImportDiffRequest {
    /// Makes the backup. Creates the repository if the place is empty.
    ///
    /// # Errors
    /// If the stream can't be imported, or the backup can't be made.
    pub fn carry_out(
        &self,
        repo: &str,
        runner: &dyn Runner,
        timeout: Duration,
        observer: &mut dyn Observer,
    ) -> Result<Made> {
        // The directory and the stream's data in it are removed when this function returns.
        let folder =
            tempfile::Builder::new().prefix("septet-import-").tempdir().context("making a temporary directory")?;
        back_up(repo, &lay_out(self, repo, folder.path())?, runner, timeout, observer)
    }
}

/// Writes a stream's changes into files in `folder`. Returns the request for the backup of them.
fn lay_out(request: &ImportDiffRequest, repo: &str, folder: &Path) -> anyhow::Result<BackupRequest> {
    let name = request.file.display().to_string();
    let what = || format!("{name} cannot be imported");
    let mut reader = Reader::new(BufReader::with_capacity(1 << 20, input(&request.file)?)).with_context(what)?;
    let head = reader.head().clone();
    let parent = find_parent(repo, &request.volume, &head, request.parent.as_ref())?;
    let block_bytes = parent.as_ref().map(|parent| parent.block_bytes).or(request.block_bytes);
    let block_bytes = block_bytes.unwrap_or(BLOCK_BYTES_DEFAULT);
    let geometry = Geometry::for_writing(head.bytes, block_bytes).with_context(what)?;
    let mut layout = Layout::new(folder, geometry, parent.clone(), repo)?;
    while let Some(record) = reader.next().with_context(what)? {
        layout.touch(record.range.clone())?;
        let mut at = record.range.start;
        while at < record.range.end {
            let bytes = (record.range.end - at).min(PIECE_BYTES);
            let mut piece = vec![0; usize::try_from(bytes)?];
            if record.has_data {
                reader.fill(&mut piece).with_context(what)?;
                layout.write(at, &piece)?;
            } else {
                layout.clear(at..record.range.end)?;
                break;
            }
            at += bytes;
        }
    }
    layout.finish()?;
    let wanted = head.to.as_ref().and_then(|to| to.parse::<BackupId>().ok());
    Ok(BackupRequest {
        spool: Some(folder.to_owned()),
        volume: Some(request.volume.clone()),
        id: request.id.clone().or(wanted),
        compare: parent.map_or(Compare::Nothing, |parent| Compare::With(parent.backup)),
        block_bytes: Some(block_bytes),
        compression: request.compression,
        ..BackupRequest::new(stream_name(&head).into())
    })
}

/// The name of the source in the manifest of such a backup.
fn stream_name(Head { from, to, .. }: &Head) -> PathBuf {
    format!("rbd-diff:{}@{}", from.as_deref().unwrap_or(""), to.as_deref().unwrap_or("")).into()
}

/// Finds the backup that the stream continues: `named`, or the one with the name of the snapshot.
fn find_parent(
    repo: &str,
    volume: &VolumeName,
    head: &Head,
    named: Option<&BackupId>,
) -> anyhow::Result<Option<Manifest>> {
    let Some(from) = &head.from else {
        if let Some(parent) = named {
            bail!("the stream is a whole image and continues no backup: leave --parent {parent} out");
        }
        return Ok(None);
    };
    let Some(parent) = named.cloned().or_else(|| from.parse().ok()) else {
        bail!("the stream continues the snapshot {from}: name its backup with --parent");
    };
    let found = Repository::open(repo)?.manifest(volume, &parent);
    found.map(Some).with_context(|| format!("the stream continues the snapshot {from}; name its backup with --parent"))
}

/// The volume that is being assembled.
struct Layout {
    spool: Spool,
    data: File,
    geometry: Geometry,
    parent: Option<BackupReader>,
}

impl Layout {
    fn new(folder: &Path, geometry: Geometry, parent: Option<Manifest>, repo: &str) -> anyhow::Result<Self> {
        let (spool, data) = Spool::create(folder, geometry.volume_bytes(), parent.is_some())?;
        let parent = parent.map(|parent| BackupReader::open(&Repository::open(repo)?, parent)).transpose()?;
        let mut layout = Self { spool, data, geometry, parent };
        layout.touch_end()?;
        Ok(layout)
    }

    /// If the size changed, the blocks at the end differ from the parent's.
    fn touch_end(&mut self) -> anyhow::Result<()> {
        let Some(parent) = &self.parent else { return Ok(()) };
        let (before, now) = (parent.index().geometry().volume_bytes(), self.geometry.volume_bytes());
        if before != now {
            let same = before.min(now);
            self.touch(same - same % u64::from(self.geometry.block_bytes())..now)?;
        }
        Ok(())
    }

    /// Prepares the range for a change: blocks at its ends that change only in part are first filled from the parent.
    fn touch(&mut self, range: std::ops::Range<u64>) -> anyhow::Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let (first, last) = (self.geometry.block_at(range.start), self.geometry.block_at(range.end - 1));
        for block in if first == last { vec![first] } else { vec![first, last] } {
            let start = self.geometry.offset_bytes(block);
            let bytes = self.geometry.len_bytes(block) as usize;
            if let Some(parent) = self.parent.as_ref().filter(|_| !self.spool.contains(start)) {
                let mut content = Vec::new();
                parent.read_block(block, &mut content)?;
                content.truncate(bytes);
                if content.iter().any(|byte| *byte != 0) {
                    self.write(start, &content)?;
                }
            }
        }
        let end = self.geometry.offset_bytes(last) + u64::from(self.geometry.len_bytes(last));
        self.spool.add(self.geometry.offset_bytes(first)..end);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> anyhow::Result<()> {
        self.data.write_all_at(bytes, offset).map_err(|error| self.no_room(&error))
    }

    fn clear(&self, range: std::ops::Range<u64>) -> anyhow::Result<()> {
        self.spool.clear(&self.data, range).map_err(|error| self.no_room(&error))
    }

    fn finish(&self) -> anyhow::Result<()> {
        self.spool.save().map_err(|error| self.no_room(&error))
    }

    fn no_room(&self, error: &std::io::Error) -> anyhow::Error {
        let folder = self.spool.folder().display();
        anyhow::anyhow!("{folder}: cannot write the stream there: {}; set TMPDIR to another place", words(error))
    }
}

fn input(path: &Path) -> anyhow::Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    let file = File::open(path).map_err(|error| anyhow::anyhow!("{}: {}", path.display(), words(&error)))?;
    Ok(Box::new(file))
}
