//! `septet clean`: takes back the space of what no backup needs.

use septet_repository::{Repository, clean};
use serde_json::json;

use super::place;
use crate::args;
use crate::args::Global;
use crate::error::Outcome;
use crate::report::Reporter;
use crate::supervisor::Observer;

/// Cleans all volumes, or one.
pub(crate) fn run(args: &args::Clean, global: &Global) -> anyhow::Result<Outcome> {
    let mut reporter = Reporter::new(args.json, global);
    let repository = Repository::open(&place::repository(&args.repo.repo)?)?;
    let volumes = match &args.volume {
        Some(volume) => vec![volume.clone()],
        None => repository.volumes()?,
    };
    let (mut interrupted, mut objects) = (Vec::new(), 0);
    for volume in volumes {
        let cleaned = clean(&repository, &volume)?;
        objects += cleaned.objects.len();
        for backup in cleaned.interrupted {
            reporter.note(&format!("removed what the interrupted backup {volume}/{backup} had left"));
            interrupted.push(format!("{volume}/{backup}"));
        }
    }
    let line = match (interrupted.len(), objects) {
        (0, 0) => "nothing to clean".to_owned(),
        (backups, objects) => format!("cleaned up after {backups} interrupted backups, and {objects} other objects"),
    };
    reporter.summary(json!({ "interrupted": interrupted, "objects": objects }), &[line]);
    Ok(Outcome::Done)
}
