//! `septet clean`: removes data that no backup needs.

use septet_engine::{CleanRequest, repository};
use septet_repository::Repository;
use serde_json::json;

use crate::args::{self, Global};
use crate::error::Outcome;
use crate::report::{Reporter, number_of};

/// Cleans all volumes, or one.
pub(crate) fn run(args: &args::Clean, global: &Global) -> anyhow::Result<Outcome> {
    let mut reporter = Reporter::new(args.json, global);
    let repository = Repository::open_to_write(&repository(&args.repo.repo)?)?;
    let cleaned = CleanRequest { volume: args.volume.clone() }.carry_out(&repository, &mut reporter)?;
    let line = match (cleaned.interrupted.len(), cleaned.objects) {
        (0, 0) => "nothing to clean".to_owned(),
        (backups, objects) => format!(
            "removed {} and {}",
            number_of(backups as u64, "interrupted backup"),
            number_of(objects as u64, "other object")
        ),
    };
    let named = cleaned.interrupted.iter().map(|(volume, backup)| format!("{volume}/{backup}"));
    let interrupted: Vec<String> = named.collect();
    reporter.summary(json!({ "interrupted": interrupted, "objects": cleaned.objects }), &[line]);
    Ok(Outcome::Done)
}
