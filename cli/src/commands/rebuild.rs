//! `septet rebuild`: makes a backup's lost or damaged tables anew, from the segments' own indexes.

use septet_format::Manifest;
use septet_repository::{Rebuilt, Repository, rebuild};

use super::place;
use crate::args;
use crate::error::Outcome;
use crate::report::{number_of, print_line};

/// Rebuilds what is lost; what was found out, in one line.
pub(crate) fn run(args: &args::Rebuild) -> anyhow::Result<Outcome> {
    let repository = Repository::open(&place::repository(&args.repo.repo)?)?;
    let manifest = repository.find(&args.backup)?;
    let mut segments = 0;
    let rebuilt = rebuild(&repository, &manifest, &mut |read, _| segments = read)?;
    print_line(&line(&manifest, rebuilt, segments));
    Ok(Outcome::Done)
}

fn line(manifest: &Manifest, rebuilt: Rebuilt, segments: u64) -> String {
    let what = match rebuilt {
        Rebuilt { map: true, checksums: true } => "map and the checksums",
        Rebuilt { map: true, .. } => "map",
        Rebuilt { checksums: true, .. } => "checksums",
        Rebuilt { .. } => return format!("nothing is damaged in {}/{}", manifest.volume, manifest.backup),
    };
    let segments = number_of(segments, "segment");
    format!("rebuilt the {what} of {}/{} from {segments}", manifest.volume, manifest.backup)
}
