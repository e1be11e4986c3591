//! `septet export-diff`: writes a backup, or its changes since another one, as a stream for
//! `rbd import-diff`.

use septet_engine::{DiffVersion, ExportDiffRequest, repository};
use septet_repository::Repository;

use crate::args::{self, DiffFormat};
use crate::error::Outcome;

/// Writes the stream.
pub(crate) fn run(args: &args::ExportDiff) -> anyhow::Result<Outcome> {
    let repository = Repository::open(&repository(&args.repo.repo)?)?;
    let request = ExportDiffRequest {
        backup: args.backup.clone(),
        file: args.file.clone(),
        from: args.from.clone(),
        from_snapshot: args.from_snap.clone(),
        to_snapshot: args.to_snap.clone(),
        version: if args.format == DiffFormat::V1 { DiffVersion::One } else { DiffVersion::Two },
    };
    request.carry_out(&repository)?;
    Ok(Outcome::Done)
}
