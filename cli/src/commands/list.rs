//! `septet list`: volumes and their backups.

use septet_engine::{list, repository};
use septet_format::Manifest;
use septet_repository::Repository;
use serde_json::json;

use crate::args;
use crate::error::Outcome;
use crate::report::{complain, print_line, size};

/// Lists backups, oldest first.
pub(crate) fn run(args: &args::List) -> anyhow::Result<Outcome> {
    let repository = Repository::open(&repository(&args.repo.repo)?)?;
    let mut outcome = Outcome::Done;
    list(&repository, args.volume.as_ref(), |volume, listing| {
        for manifest in &listing.manifests {
            print_line(&if args.json { json_line(manifest) } else { line(manifest) });
        }
        for (backup, error) in &listing.damaged {
            let is_damage = error.is_damage();
            let what = if is_damage { "damaged" } else { "unsupported" };
            complain(&format!("septet: {what}: {volume}/{backup}: {error}"));
            outcome = outcome.max(if is_damage { Outcome::Damage } else { Outcome::Unsupported });
        }
    })?;
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
