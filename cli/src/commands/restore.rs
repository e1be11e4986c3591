//! `septet restore`: writes a backup, or a part of it, to a file, a block device or an RBD image.

use septet_engine::{Engine, RestoreRequest, Restored, Supervisor, repository_within, volume};
use serde_json::{Value, json};

use super::convert::ceph;
use crate::args::{self, Global};
use crate::error::Outcome;
use crate::report::{Reporter, print_line, rate, size};

/// Restores a backup.
pub(crate) fn run(args: &args::Restore, global: &Global, runner: &Supervisor) -> anyhow::Result<Outcome> {
    let mut reporter = Reporter::new(args.json, global);
    let repo = repository_within(&args.repo.repo, global.timeout, None)?;
    let request = request(args)?;
    let restored = Engine::open(&repo, runner, global.timeout)?.restore(&request, &mut reporter)?;
    reporter.profile(&restored.report);
    let seconds = reporter.seconds();
    reporter.summary(summary(&restored, args, seconds), &[line(&restored, args, seconds)]);
    if restored.damaged.is_empty() {
        return Ok(Outcome::Done);
    }
    if !args.json {
        for range in &restored.damaged {
            let end = range.offset + range.size;
            print_line(&format!("damaged, not restored: bytes {}..{end}: {}", range.offset, range.reason));
        }
    }
    Ok(Outcome::Damage)
}

fn request(args: &args::Restore) -> anyhow::Result<RestoreRequest> {
    Ok(RestoreRequest {
        backup: args.backup.clone(),
        target: volume(&args.target, &ceph(&args.ceph))?,
        create: args.create,
        offset_bytes: args.offset,
        length_bytes: args.length,
        overwrite: args.overwrite,
        zeroed: args.zeroed,
        keep_going: args.keep_going,
        streams: args.streams,
    })
}

fn summary(restored: &Restored, args: &args::Restore, seconds: f64) -> Value {
    let Restored { manifest, length_bytes, damaged, report } = restored;
    let progress = &report.progress;
    json!({
        "backup": manifest.backup,
        "volume": manifest.volume,
        "target": args.target,
        "bytes_volume": manifest.volume_bytes,
        "bytes_restored": length_bytes,
        "bytes_read": progress.bytes_stored,
        "blocks": { "data": progress.blocks_data, "zero": progress.blocks_zero + progress.blocks_hole },
        "damaged": damaged,
        "requests": report.counts().requests,
        "seconds": seconds,
        "cpu_seconds": report.usage.cpu_seconds,
        "memory_peak_bytes": report.usage.memory_peak_bytes,
        "agents": report.agents,
    })
}

fn line(restored: &Restored, args: &args::Restore, seconds: f64) -> String {
    let Restored { manifest, length_bytes, .. } = restored;
    format!(
        "restored {}/{} to {}: {} in {:.1} s ({})",
        manifest.volume,
        manifest.backup,
        args.target.display(),
        size(*length_bytes),
        seconds,
        rate(*length_bytes, seconds)
    )
}
