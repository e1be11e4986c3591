//! `septet rebuild`: rebuilds a backup's lost or damaged tables from the indexes of its segments.

use septet_engine::{RebuildRequest, RebuiltTables, repository};
use septet_repository::{Rebuilt, Repository};

use crate::args;
use crate::error::Outcome;
use crate::report::{number_of, print_line};

/// Rebuilds the tables and prints one line about the result.
pub(crate) fn run(args: &args::Rebuild) -> anyhow::Result<Outcome> {
    let repository = Repository::open_to_write(&repository(&args.repo.repo)?)?;
    let rebuilt = RebuildRequest { backup: args.backup.clone() }.carry_out(&repository)?;
    print_line(&line(&rebuilt));
    Ok(Outcome::Done)
}

fn line(rebuilt: &RebuiltTables) -> String {
    let RebuiltTables { manifest, tables, segments } = rebuilt;
    let what = match *tables {
        Rebuilt { map: true, checksums: true } => "map and the checksums",
        Rebuilt { map: true, .. } => "map",
        Rebuilt { checksums: true, .. } => "checksums",
        Rebuilt { .. } => return format!("nothing is damaged in {}/{}", manifest.volume, manifest.backup),
    };
    let segments = number_of(*segments, "segment");
    format!("rebuilt the {what} of {}/{} from {segments}", manifest.volume, manifest.backup)
}
