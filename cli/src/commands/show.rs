//! `septet show`: one backup, and where its blocks are stored.

use septet_engine::{repository, show};
use septet_format::Manifest;
use septet_repository::Repository;

use crate::args;
use crate::error::Outcome;
use crate::report::{print_line, size};

/// Shows a backup.
pub(crate) fn run(args: &args::Show) -> anyhow::Result<Outcome> {
    let repository = Repository::open(&repository(&args.repo.repo)?)?;
    let manifest = show(&repository, &args.backup)?;
    if args.json {
        print_line(&serde_json::to_string(&manifest)?);
    } else {
        lines(&manifest).iter().for_each(|line| print_line(line));
    }
    Ok(Outcome::Done)
}

fn lines(manifest: &Manifest) -> Vec<String> {
    let blocks = &manifest.blocks;
    let mut lines = vec![
        format!("backup    {}/{}", manifest.volume, manifest.backup),
        format!("parent    {}", manifest.parent.as_ref().map_or("none (full)", |parent| parent.as_str())),
        format!("created   {} in {:.1} s by {}", manifest.created, manifest.seconds, manifest.tool),
        format!("source    {} on {}", manifest.source.name, manifest.machine.name),
        format!(
            "volume    {} bytes ({}) in blocks of {}",
            manifest.volume_bytes,
            size(manifest.volume_bytes),
            size(u64::from(manifest.block_bytes))
        ),
        format!(
            "blocks    {} stored, {} unchanged, {} zero, {} never read",
            blocks.data, blocks.unchanged, blocks.zero, blocks.hole
        ),
        format!(
            "stored    {} ({} read, compression {})",
            size(manifest.bytes_stored),
            size(manifest.bytes_read),
            manifest.compression
        ),
    ];
    for source in &manifest.sources {
        let total: u64 = source.segments.iter().map(|segment| segment.bytes).sum();
        let live: u64 = source.segments.iter().map(|segment| segment.live_bytes).sum();
        lines.push(format!(
            "segments  {} of {}/{}: {} of {} in use",
            source.segments.len(),
            source.volume,
            source.backup,
            size(live),
            size(total)
        ));
    }
    lines
}
