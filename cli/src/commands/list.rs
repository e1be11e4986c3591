//! `septet list`: volumes and their backups.

use septet_format::Manifest;
use septet_repository::Repository;
use serde_json::json;

use super::place;
use crate::args;
use crate::error::Outcome;
use crate::report::{complain, print_line, size};

/// Lists backups, oldest first.
pub(crate) fn run(args: &args::List) -> anyhow::Result<Outcome> {
    let repository = Repository::open(&place::repository(&args.repo.repo)?)?;
    let volumes = match &args.volume {
        Some(volume) => vec![volume.clone()],
        None => repository.volumes()?,
    };
    let mut outcome = Outcome::Done;
    for volume in volumes {
        let listing = repository.backups(&volume)?;
        if args.volume.is_some() && listing.manifests.is_empty() && listing.damaged.is_empty() {
            anyhow::bail!("the repository has no volume {volume}");
        }
        for manifest in &listing.manifests {
            print_line(&if args.json { json_line(manifest) } else { line(manifest) });
        }
        for (backup, error) in &listing.damaged {
            complain(&format!("septet: damaged: {volume}/{backup}: {error}"));
            outcome = Outcome::Damage;
        }
    }
    Ok(outcome)
}

fn line(manifest: &Manifest) -> String {
    format!(
        "{}/{}  {}  {:>10} volume  {:>10} stored  {}",
        manifest.volume,
        manifest.backup,
        manifest.created.strftime("%Y-%m-%d %H:%M:%S"),
        size(manifest.volume_bytes),
        size(manifest.bytes_stored),
        manifest.parent.as_ref().map_or_else(|| "full".to_owned(), |parent| format!("since {parent}"))
    )
}

fn json_line(manifest: &Manifest) -> String {
    json!({
        "backup": manifest.backup,
        "volume": manifest.volume,
        "parent": manifest.parent,
        "sequence": manifest.sequence,
        "created": manifest.created,
        "bytes_volume": manifest.volume_bytes,
        "bytes_read": manifest.bytes_read,
        "bytes_stored": manifest.bytes_stored,
        "blocks": manifest.blocks,
    })
    .to_string()
}
