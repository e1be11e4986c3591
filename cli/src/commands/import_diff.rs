//! `septet import-diff`: makes a backup from a stream of `rbd export-diff`.

use septet_engine::{ImportDiffRequest, Supervisor, repository_within};

use super::convert::compression;
use super::made::print;
use crate::args::{self, Global};
use crate::error::Outcome;
use crate::report::Reporter;

/// Makes a backup from a stream.
pub(crate) fn run(args: &args::ImportDiff, global: &Global, runner: &Supervisor) -> anyhow::Result<Outcome> {
    let mut reporter = Reporter::new(args.json, global);
    let repo = repository_within(&args.repo.repo, global.timeout, None)?;
    let request = ImportDiffRequest {
        file: args.file.clone(),
        volume: args.volume.clone(),
        id: args.id.clone(),
        parent: args.parent.clone(),
        block_bytes: args.block_size,
        compression: compression(args.compression),
    };
    let made = request.carry_out(&repo, runner, global.timeout, &mut reporter)?;
    print(&made, &mut reporter);
    Ok(Outcome::Done)
}
