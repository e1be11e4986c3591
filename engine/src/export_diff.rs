//! Writes a backup, or the changes since another backup, as the stream that `rbd import-diff` reads.
//!
//! Each block is verified by its hash before it is written to the stream. The snapshots in the stream have the names of
//! the backups, so that differences can be imported one after the other.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use septet_format::BlockHash;
use septet_repository::{BackupReader, BlockIndex, Repository};

use crate::diff_stream::{Head, Version, Writer};
use crate::words::words;
use crate::{BadRequest, Result};

/// Writes a difference.
#[derive(Debug, Clone)]
pub struct ExportDiffRequest {
    /// The backup: an id, `VOLUME/ID` or `VOLUME@latest`.
    pub backup: String,
    /// The destination: a new file, or `-` for standard output.
    pub file: PathBuf,
    /// Write only the changes since this backup; none: everything that is not zero.
    pub from: Option<String>,
    /// The snapshot that the image must have before the import; none: the id of `from`.
    pub from_snapshot: Option<String>,
    /// The snapshot that the import makes; none: the backup's id.
    pub to_snapshot: Option<String>,
    /// The version of the stream.
    pub version: Version,
}

impl ExportDiffRequest {
    /// Writes the difference.
    ///
    /// # Errors
    /// If the backups can't be read or the file can't be written. No file is left then.
    pub fn carry_out(&self, repository: &Repository) -> Result<()> {
        Ok(write(self, repository)?)
    }
}

fn write(request: &ExportDiffRequest, repository: &Repository) -> anyhow::Result<()> {
    let manifest = repository.find(&request.backup)?;
    let from = request.from.as_ref().map(|from| repository.find(from)).transpose()?;
    if let Some(from) = from.as_ref().filter(|from| from.volume != manifest.volume) {
        return Err(BadRequest(format!(
            "{}/{} is not a backup of the volume {}",
            from.volume, from.backup, manifest.volume
        ))
        .into());
    }
    let head = Head {
        from: from.as_ref().map(|from| request.from_snapshot.clone().unwrap_or_else(|| from.backup.to_string())),
        to: Some(request.to_snapshot.clone().unwrap_or_else(|| manifest.backup.to_string())),
        bytes: manifest.volume_bytes,
    };
    let backup = BackupReader::open(repository, manifest)?;
    let base = from.map(|from| BlockIndex::open(repository, from)).transpose()?;
    let output = BufWriter::with_capacity(1 << 20, output(&request.file)?);
    export(&backup, base.as_ref(), output, request.version, &head)
        .inspect_err(|_| discard(&request.file))
        .with_context(|| format!("writing the difference to {}", request.file.display()))
}

fn export(
    backup: &BackupReader,
    base: Option<&BlockIndex>,
    output: impl Write,
    version: Version,
    head: &Head,
) -> anyhow::Result<()> {
    let mut writer = Writer::new(output, version, head)?;
    let geometry = *backup.index().geometry();
    let mut content = Vec::new();
    // Adjacent zeros are combined: a hole of any size is one record.
    let mut zeros = 0..0;
    for block in 0..geometry.blocks() {
        let now = backup.index().locate(block)?.map(|(_, hash)| hash);
        let (start, bytes) = (geometry.offset_bytes(block), u64::from(geometry.len_bytes(block)));
        if is_same(base, block, now, &geometry)? {
            continue;
        }
        if now.is_some() {
            backup.read_block(block, &mut content)?;
            writer.data(start, &content)?;
        } else if zeros.end == start {
            zeros.end = start + bytes;
        } else {
            write_zeros(&mut writer, &zeros)?;
            zeros = start..start + bytes;
        }
    }
    write_zeros(&mut writer, &zeros)?;
    Ok(writer.finish()?)
}

fn write_zeros<W: Write>(writer: &mut Writer<W>, zeros: &std::ops::Range<u64>) -> std::io::Result<()> {
    if zeros.is_empty() { Ok(()) } else { writer.zero(zeros.start, zeros.end - zeros.start) }
}

/// Whether a block is the same as in the base. Without a base: whether it is zeros, as in a new image.
fn is_same(
    base: Option<&BlockIndex>,
    block: u64,
    now: Option<BlockHash>,
    geometry: &septet_format::Geometry,
) -> anyhow::Result<bool> {
    let Some(base) = base else { return Ok(now.is_none()) };
    let before = base.geometry();
    if before.block_bytes() != geometry.block_bytes() {
        return Ok(false);
    }
    let then = base.locate(block)?.map(|(_, hash)| hash);
    // A shorter last block is not the same, unless both are zeros.
    let comparable = block < before.blocks() && before.len_bytes(block) == geometry.len_bytes(block);
    Ok(then == now && (comparable || now.is_none()))
}

fn output(path: &Path) -> anyhow::Result<Box<dyn Write>> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdout()));
    }
    let file = File::create_new(path)
        .map_err(|error| anyhow::anyhow!("{}: cannot create a new file: {}", path.display(), words(&error)))?;
    Ok(Box::new(file))
}

/// Removes an incomplete difference.
fn discard(path: &Path) {
    if path != Path::new("-") {
        // The user needs the original error, not one of the removal.
        let _ = std::fs::remove_file(path);
    }
}
