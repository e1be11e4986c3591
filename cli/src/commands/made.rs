//! The summary of a finished backup.

use septet_engine::Made;
use septet_format::Manifest;
use serde_json::{Value, json};

use crate::report::{Reporter, number_of, rate, size};

/// Prints the summary.
pub(super) fn print(made: &Made, reporter: &mut Reporter) {
    reporter.profile(&made.report);
    let seconds = reporter.seconds();
    reporter.summary(summary(made, seconds), &lines(made, seconds));
}

/// The summary as JSON.
fn summary(made: &Made, seconds: f64) -> Value {
    let Made { manifest, report, .. } = made;
    json!({
        "backup": manifest.backup,
        "volume": manifest.volume,
        "parent": manifest.parent,
        "bytes_volume": manifest.volume_bytes,
        "bytes_read": manifest.bytes_read,
        "bytes_stored": manifest.bytes_stored,
        "bytes_taken_over": made.taken_over_bytes,
        "block_bytes": manifest.block_bytes,
        "blocks": manifest.blocks,
        "objects": own_objects(manifest),
        "requests": report.counts().requests,
        "seconds": seconds,
        "cpu_seconds": report.usage.cpu_seconds,
        "memory_peak_bytes": report.usage.memory_peak_bytes,
        "agents": report.agents,
    })
}

/// The summary for people.
fn lines(made: &Made, seconds: f64) -> Vec<String> {
    let Made { manifest, report, taken_over_bytes } = made;
    let kind = match &manifest.parent {
        Some(parent) => format!("since {parent}"),
        None => "full".to_owned(),
    };
    let blocks = &manifest.blocks;
    let mut lines = vec![
        format!("{}/{}  {} ({kind})", manifest.volume, manifest.backup, size(manifest.volume_bytes)),
        format!(
            "read {} and stored {} in {:.1} s ({})",
            size(manifest.bytes_read),
            size(manifest.bytes_stored),
            seconds,
            rate(manifest.volume_bytes, seconds)
        ),
        format!(
            "blocks: {} stored, {} unchanged, {} zero, {} never read",
            blocks.data, blocks.unchanged, blocks.zero, blocks.hole
        ),
        counted(own_objects(manifest), report.counts().requests),
    ];
    if *taken_over_bytes > 0 {
        lines.insert(2, format!("of that, the interrupted run stored {}", size(*taken_over_bytes)));
    }
    lines
}
/// The number of objects that the backup added: its segments, checksums, map and manifest.
fn own_objects(manifest: &Manifest) -> usize {
    let own = manifest.sources.iter().filter(|source| source.backup == manifest.backup);
    own.map(|source| source.segments.len()).sum::<usize>() + 3
}

/// The line about objects and requests. A repository in a directory has no requests.
fn counted(objects: usize, requests: u64) -> String {
    match requests {
        0 => format!("objects: {objects} added"),
        requests => format!("objects: {objects} added, {}", number_of(requests, "request")),
    }
}
