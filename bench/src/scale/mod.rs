//! Measures how cost grows with the volume's size, the changes, the length of the chain, and the number of volumes.
//!
//! Every point is the time of whole runs of `septet`, start and end included.

mod bench;
mod chain;
mod changes;
mod report;
mod sizes;
mod volumes;

use std::path::Path;

use crate::args::Scale;
use crate::machine::Machine;
use crate::workspace;
use bench::Bench;
pub(crate) use report::ScaleReport;

/// Measures all four causes.
///
/// # Errors
/// There is too little space, or a command fails.
pub(crate) fn measure(args: &Scale, septet: &Path) -> anyhow::Result<ScaleReport> {
    let work = args.dir.join("work-scale");
    workspace::remove(&work)?;
    workspace::make_room(&work, 4 * args.changed.0 + (1 << 30))?;
    let mut bench = Bench { septet: septet.to_owned(), dir: work.clone(), rounds: args.rounds, points: Vec::new() };
    sizes::measure(&mut bench, args.size, args.seed)?;
    changes::measure(&mut bench, args.changed, args.seed)?;
    chain::measure(&mut bench, args.chain, args.seed)?;
    volumes::measure(&mut bench, args.volumes, args.seed)?;
    workspace::remove(&work)?;
    Ok(ScaleReport { machine: Machine::here(&args.dir), rounds: args.rounds, points: bench.points })
}
