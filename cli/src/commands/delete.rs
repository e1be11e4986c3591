//! `septet delete`: deletes backups, and the data that no other backup needs.

use septet_engine::{DeleteRequest, Engine, Supervisor, repository_within};
use serde_json::json;

use crate::args::{self, Global};
use crate::error::Outcome;
use crate::report::{Reporter, number_of};

/// Deletes backups.
pub(crate) fn run(args: &args::Delete, global: &Global, runner: &Supervisor) -> anyhow::Result<Outcome> {
    let mut reporter = Reporter::new(args.json, global);
    let repo = repository_within(&args.repo.repo, global.timeout, None)?;
    let request = DeleteRequest { backups: args.backup.clone(), force: args.force };
    let objects = Engine::open_to_write(&repo, runner, global.timeout)?.delete(&request, &mut reporter)?.objects;
    let line = format!("deleted {}, {}", number_of(args.backup.len() as u64, "backup"), number_of(objects, "object"));
    reporter.summary(json!({ "backups": args.backup, "objects": objects }), &[line]);
    Ok(Outcome::Done)
}
