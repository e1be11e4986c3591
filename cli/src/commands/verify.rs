//! `septet verify`: reads back every object that the chosen backups need, and names the damaged ranges of
//! the volumes.

use septet_engine::{DamagedBackup, Engine, Supervisor, Verified, VerifyRequest, repository_within};
use septet_ipc::Sample;
use serde_json::{Value, json};

use super::convert::ppm;
use crate::args::{self, Global};
use crate::error::Outcome;
use crate::report::{Reporter, complain, number_of, print_line, size};

/// A random round is below this. Any round is valid, and this range covers all parts of any share.
const ROUNDS_MAX: u64 = 1_000_000;

/// Verifies backups.
pub(crate) fn run(args: &args::Verify, global: &Global, runner: &Supervisor) -> anyhow::Result<Outcome> {
    let mut reporter = Reporter::new(args.json, global);
    let repo = repository_within(&args.repo.repo, global.timeout, None)?;
    let sample = sample(args);
    let request = VerifyRequest { backups: args.backup.clone(), quick: args.quick, sample, streams: args.streams };
    let verified = Engine::open(&repo, runner, global.timeout)?.verify(&request, &mut reporter)?;
    verified.runs.iter().for_each(|run| reporter.profile(&run.report));
    if !args.json {
        verified.damaged.iter().for_each(|damaged| print_line(&damaged_line(damaged)));
    }
    reporter.summary(summary(&verified, sample), &[line(&verified, sample)]);
    for (volume, backup, why) in &verified.unsupported {
        complain(&format!("septet: not verified: {volume}/{backup}: {why}"));
    }
    Ok(match (verified.damaged.is_empty(), verified.unsupported.is_empty()) {
        (false, _) => Outcome::Damage,
        (true, false) => Outcome::Unsupported,
        (true, true) => Outcome::Done,
    })
}

/// The sample to read, if `--sample` is given. Without `--round` the round is random.
fn sample(args: &args::Verify) -> Option<Sample> {
    let any = || uuid::Uuid::new_v4().as_u64_pair().1 % ROUNDS_MAX;
    args.sample.map(|percent| Sample { ppm: ppm(percent), round: args.round.unwrap_or_else(any) })
}

fn summary(verified: &Verified, sample: Option<Sample>) -> Value {
    let damaged = verified.damaged.iter().map(|DamagedBackup { volume, backup, range }| {
        json!({
            "volume": volume, "backup": backup,
            "offset": range.offset_bytes, "size": range.size_bytes, "reason": range.reason,
        })
    });
    let runs = verified
        .runs
        .iter()
        .map(|run| json!({ "volume": run.volume, "seconds": run.report.seconds, "agents": run.report.agents }));
    let unsupported = verified
        .unsupported
        .iter()
        .map(|(volume, backup, reason)| json!({ "volume": volume, "backup": backup, "reason": reason }));
    let mut summary = json!({
        "backups": verified.backups, "segments": verified.objects, "bytes_checked": verified.bytes,
        "damaged": damaged.collect::<Vec<_>>(), "unsupported": unsupported.collect::<Vec<_>>(), "runs": runs.collect::<Vec<_>>(),
    });
    if let Some(Sample { ppm, round }) = sample {
        summary["sample"] = json!({ "ppm": ppm, "round": round });
    }
    summary
}

fn line(verified: &Verified, sample: Option<Sample>) -> String {
    let part = sample
        .map_or_else(String::new, |Sample { ppm, round }| format!(" ({} %, round {round})", f64::from(ppm) / 10_000.0));
    let verdict = if verified.damaged.is_empty() { "no damage" } else { "damage found" };
    format!(
        "verified {}, {}, {}{part}: {verdict}",
        number_of(verified.backups, "backup"),
        number_of(verified.objects, "segment"),
        size(verified.bytes)
    )
}

fn damaged_line(damaged: &DamagedBackup) -> String {
    let DamagedBackup { volume, backup, range } = damaged;
    if range.size_bytes == 0 {
        return format!("damaged: {volume}/{backup}: {}", range.reason);
    }
    let end = range.offset_bytes.saturating_add(range.size_bytes);
    format!("damaged: {volume}/{backup} bytes {}..{end}: {}", range.offset_bytes, range.reason)
}
