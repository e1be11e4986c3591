//! `septet restore`: writes a backup, or a part of it, to a file or a block device.

use std::path::Path;

use septet_format::Manifest;
use septet_ipc::message::Damage;
use septet_ipc::{Begin, RestoreJob};
use septet_repository::Repository;
use septet_volume::RbdUrl;
use serde_json::json;

use super::attempt::failed;
use super::backup::{pool_bytes, streams};
use super::{place, rbd};
use crate::args;
use crate::args::Global;
use crate::error::{Outcome, Usage};
use crate::report::{Reporter, print_line, rate, size};
use crate::supervisor::{self, Observer, Report, RunError};

/// Restores a backup.
pub(crate) fn run(args: &args::Restore, global: &Global) -> anyhow::Result<Outcome> {
    let mut reporter = Reporter::new(args.json, global);
    let (manifest, length_bytes, report) = restore(args, global, &mut reporter)?;
    let damage = merged(&report.damage);
    reporter.profile(&report);
    let seconds = reporter.seconds();
    let summary = json!({
        "backup": manifest.backup,
        "volume": manifest.volume,
        "target": args.target,
        "bytes_volume": manifest.volume_bytes,
        "bytes_restored": length_bytes,
        "bytes_read": report.progress.bytes_stored,
        "blocks": { "data": report.progress.blocks_data, "zero": report.progress.blocks_zero + report.progress.blocks_hole },
        "damaged": damage,
        "requests": report.counts().requests,
        "seconds": seconds,
        "cpu_seconds": report.usage.cpu_seconds,
        "memory_peak_bytes": report.usage.memory_peak_bytes,
        "agents": report.agents,
    });
    let line = format!(
        "restored {}/{} to {}: {} in {:.1} s ({})",
        manifest.volume,
        manifest.backup,
        args.target.display(),
        size(length_bytes),
        seconds,
        rate(length_bytes, seconds)
    );
    reporter.summary(summary, &[line]);
    if damage.is_empty() {
        return Ok(Outcome::Done);
    }
    if !args.json {
        for range in &damage {
            print_line(&format!(
                "damaged, not restored: bytes {}..{}: {}",
                range.offset,
                range.offset + range.size,
                range.reason
            ));
        }
    }
    Ok(Outcome::Damage)
}

/// Restores a backup; its manifest, and how many bytes of the volume were asked for.
pub(super) fn restore(
    args: &args::Restore,
    global: &Global,
    reporter: &mut Reporter,
) -> anyhow::Result<(Manifest, u64, Report)> {
    let repo = place::repository_within(&args.repo.repo, global.timeout, None)?;
    let target = place::volume(&args.target, &args.ceph)?;
    let repository = Repository::open(&repo)?;
    let manifest = repository.find(&args.backup)?;
    let length_bytes = length(args, &manifest)?;
    check_target(&target, &repo, &manifest, args.overwrite)?;
    let begin = Begin::Restore(RestoreJob {
        repo,
        volume: manifest.volume.clone(),
        backup: manifest.backup.clone(),
        target: target.clone(),
        overwrite: args.overwrite,
        zeroed: args.zeroed,
        keep_going: args.keep_going,
        offset_bytes: args.offset,
        length_bytes,
        volume_bytes: manifest.volume_bytes,
        block_bytes: manifest.block_bytes,
        streams: streams(&repository, args.streams),
        pool_bytes: pool_bytes(&repository, Some(length_bytes)),
        rbd: rbd::restore(&target, args.create, &manifest)?,
    });
    if septet_volume::discard_abandoned(Path::new(&target)) {
        reporter.note(&format!("removed the unfinished file that an interrupted restore to {target} had left"));
    }
    let of_rbd = RbdUrl::is_meant(&target);
    let is_new = !of_rbd && !Path::new(&target).exists();
    reporter.start(
        &format!("restoring {}", manifest.volume),
        json!({ "backup": manifest.backup, "volume": manifest.volume }),
    );
    match supervisor::run(&begin, global, reporter) {
        Ok(report) => Ok((manifest, length_bytes, report)),
        Err(error) => {
            // An unfinished new file has a name of its own, which nobody takes for the volume.
            septet_volume::discard_abandoned(Path::new(&target));
            if args.create {
                reporter.note(
                    "what was restored may be left in an image IMAGE.septet-partial: the next restore removes it",
                );
                Err(failed(error, "no image of that name was made"))
            } else if is_new {
                Err(failed(error, "nothing half-made was left behind"))
            } else {
                let left = format!("{target} is partly written: restore it again before it is used");
                if reporter.at_work() && !matches!(error, RunError::Interrupted) {
                    reporter.note(&left);
                }
                Err(failed(error, &left))
            }
        }
    }
}

fn length(args: &args::Restore, manifest: &Manifest) -> anyhow::Result<u64> {
    let rest = manifest.volume_bytes.checked_sub(args.offset);
    let rest = rest.ok_or_else(|| {
        Usage(format!("--offset {} is beyond the volume's {} bytes", args.offset, manifest.volume_bytes))
    })?;
    let length = args.length.unwrap_or(rest);
    if length > rest {
        let end = args.offset.saturating_add(length);
        return Err(Usage(format!(
            "bytes {}..{end} end beyond the volume's {} bytes",
            args.offset, manifest.volume_bytes
        ))
        .into());
    }
    Ok(length)
}

/// Refuses what nobody can mean, before anything is opened for writing.
fn check_target(target: &str, repo: &str, manifest: &Manifest, overwrite: bool) -> anyhow::Result<()> {
    let path = Path::new(target);
    let repository = std::fs::canonicalize(repo.strip_prefix("file://").unwrap_or(repo));
    if let (Some(real), Ok(repository)) = (place::real_path(path), repository)
        && real.starts_with(repository)
    {
        anyhow::bail!("{target} is inside the repository: a restore there would destroy what it restores from");
    }
    if !overwrite && septet_volume::same_file(path, Path::new(&manifest.source.name)) {
        anyhow::bail!("{target} is the very volume that this backup was made from: add --overwrite to write over it");
    }
    Ok(())
}

/// Damaged ranges in order, neighbours with the same reason as one.
fn merged(damage: &[Damage]) -> Vec<Damage> {
    let mut sorted = damage.to_vec();
    sorted.sort_by_key(|damage| damage.offset);
    let mut merged: Vec<Damage> = Vec::new();
    for next in sorted {
        match merged.last_mut() {
            Some(last) if last.offset + last.size == next.offset && last.reason == next.reason => {
                last.size += next.size
            }
            _ => merged.push(next),
        }
    }
    merged
}
