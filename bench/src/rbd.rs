//! An RBD image, compared with `rbd export` and with `rbd export | lz4 -1`.
//!
//! All tools use the same cluster in the same round. The CPU time of the cluster's daemons is not counted: it is for
//! the same bytes.

use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde::Serialize;

use crate::args::Image;
use crate::bare::{self, Work};
use crate::data::random::Stream;
use crate::home::Home;
use crate::machine::Machine;
use crate::report::said;
use crate::stats::Spread;
use crate::tool::{Septet, Tool};
use crate::units::{BLOCK_BYTES, Size};
use crate::{process, workspace};

/// The limit of an incremental's time, as a part of a full backup's time.
const INCREMENTAL_AT_MOST: f64 = 0.03;
/// The limit of a backup's CPU time beyond hashing and LZ4, as a multiple of that of `rbd export`.
const CPU_AT_MOST: f64 = 1.2;
const PAGE_BYTES: usize = 4096;

/// One round.
#[derive(Debug, Serialize)]
struct Round {
    export: Took,
    export_lz4: Took,
    full: Took,
    incremental: Took,
    hash_and_lz4_cpu_seconds: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Took {
    wall_seconds: f64,
    cpu_seconds: f64,
}

/// All rounds.
#[derive(Debug, Serialize)]
pub(crate) struct RbdReport {
    machine: Machine,
    image_bytes: Size,
    rounds: Vec<Round>,
}

/// Creates an image in the cluster, measures with it and removes it.
///
/// # Errors
/// There is no cluster or too little space, or a step fails.
pub(crate) fn measure(args: &Image, septet: &Path) -> anyhow::Result<RbdReport> {
    workspace::make_room(&args.dir, args.size.0.saturating_mul(2))?;
    let bench = Bench { args, image: format!("{}/septet-bench-{}", args.pool, std::process::id()) };
    let file = args.dir.join("rbd.img");
    fill(&file, args.size, &Stream::new(args.seed, "rbd"))?;
    bench.rbd(&["import", &file.to_string_lossy(), &bench.image])?;
    let rounds = (0..args.rounds).map(|round| bench.round(round, septet, &file)).collect::<anyhow::Result<_>>();
    for words in [&["snap", "purge"][..], &["rm"]] {
        bench.rbd(&[words, &[&bench.image]].concat())?;
    }
    workspace::remove(&file)?;
    Ok(RbdReport { machine: Machine::here(&args.dir), image_bytes: args.size, rounds: rounds? })
}

struct Bench<'a> {
    args: &'a Image,
    image: String,
}

impl Bench<'_> {
    fn round(&self, round: u32, septet: &Path, file: &Path) -> anyhow::Result<Round> {
        let repository = self.args.dir.join("rbd-repository");
        workspace::remove(&repository)?;
        let url = PathBuf::from(format!("rbd:{}?conf={}", self.image, self.args.conf.display()));
        let mut tool = Septet::new(septet, Home::make(&repository, None)?, false);
        let export = self.shell("rbd -c \"$0\" export \"$1\" - >/dev/null")?;
        let export_lz4 = self.shell("rbd -c \"$0\" export \"$1\" - | lz4 -1 -c >/dev/null")?;
        let took = |cost: crate::tool::Cost| Took { wall_seconds: cost.wall_seconds, cpu_seconds: cost.cpu() };
        let full = took(tool.full(&url)?);
        self.change(&Stream::new(self.args.seed, "changed").child(&round.to_string()))?;
        let incremental = took(tool.incremental(&url)?);
        workspace::remove(&repository)?;
        let mut hash_and_lz4_cpu_seconds = 0.0;
        for work in [Work::Blake3, Work::Lz4] {
            hash_and_lz4_cpu_seconds += bare::measure(work, file)?.cpu_seconds;
        }
        Ok(Round { export, export_lz4, full, incremental, hash_and_lz4_cpu_seconds })
    }

    /// Overwrites 1 % of the blocks, with `rbd import-diff`.
    fn change(&self, stream: &Stream) -> anyhow::Result<()> {
        let path = self.args.dir.join("rbd.diff");
        let mut diff = BufWriter::new(File::create(&path)?);
        diff.write_all(b"rbd diff v1\ns")?;
        diff.write_all(&self.args.size.0.to_le_bytes())?;
        let blocks = self.args.size.blocks()?;
        for block in stream.pick(blocks / 100, blocks) {
            let mut content = vec![0; BLOCK_BYTES];
            half_noise(&mut content, stream, block);
            diff.write_all(b"w")?;
            diff.write_all(&(block * BLOCK_BYTES as u64).to_le_bytes())?;
            diff.write_all(&(BLOCK_BYTES as u64).to_le_bytes())?;
            diff.write_all(&content)?;
        }
        diff.write_all(b"e")?;
        diff.flush()?;
        self.rbd(&["import-diff", &path.to_string_lossy(), &self.image])?;
        workspace::remove(&path)
    }

    fn rbd(&self, words: &[&str]) -> anyhow::Result<()> {
        process::run(Command::new("rbd").arg("-c").arg(&self.args.conf).args(words), false).map(drop)
    }

    fn shell(&self, script: &str) -> anyhow::Result<Took> {
        let mut command = Command::new("bash");
        command.args(["-o", "pipefail", "-c", script]).arg(&self.args.conf).arg(&self.image);
        let ran = process::run(&mut command, false).context("is lz4 there, and rbd?")?;
        Ok(Took { wall_seconds: ran.wall_seconds, cpu_seconds: ran.cpu_seconds })
    }
}

/// A file that LZ4 compresses to about half.
fn fill(path: &Path, size: Size, stream: &Stream) -> anyhow::Result<()> {
    let file = File::create(path)?;
    let mut content = vec![0; BLOCK_BYTES];
    for block in 0..size.blocks()? {
        half_noise(&mut content, stream, block);
        file.write_all_at(&content, block * BLOCK_BYTES as u64)?;
    }
    Ok(file.sync_all()?)
}

/// Each page half noise and half text.
fn half_noise(content: &mut [u8], stream: &Stream, block: u64) {
    for (number, page) in content.chunks_mut(PAGE_BYTES).enumerate() {
        let (noise, text) = page.split_at_mut(PAGE_BYTES / 2);
        stream.fill(block * BLOCK_BYTES as u64 + (number * PAGE_BYTES) as u64, noise);
        text.iter_mut().zip(b"septet ".iter().cycle()).for_each(|(byte, letter)| *byte = *letter);
    }
}

impl RbdReport {
    fn spread(&self, figure: impl Fn(&Round) -> f64) -> Spread {
        Spread::of(self.rounds.iter().map(figure)).unwrap_or(Spread { median: f64::NAN, min: f64::NAN, max: f64::NAN })
    }
}

impl fmt::Display for RbdReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}", self.machine.date, self.machine.line())?;
        writeln!(f, "an RBD image of {}, {} rounds\n", self.image_bytes, self.rounds.len())?;
        writeln!(f, "  {:<28}{:>22}{:>22}", "", "wall s", "CPU s")?;
        let mut row = |name: &str, of: fn(&Round) -> Took| {
            let (wall, cpu) = (self.spread(|round| of(round).wall_seconds), self.spread(|round| of(round).cpu_seconds));
            writeln!(f, "  {name:<28}{:>22}{:>22}", wall.to_string(), cpu.to_string())
        };
        row("rbd export", |round| round.export)?;
        row("rbd export | lz4 -1", |round| round.export_lz4)?;
        row("septet, full", |round| round.full)?;
        row("septet, 1 % changed", |round| round.incremental)?;
        writeln!(f)?;
        let mut goal = |name: &str, at_most: f64, of: fn(&Round) -> f64| {
            let ratio = self.spread(of);
            writeln!(f, "  {name:<54}{ratio:.3}  at most {at_most}: {}", said(ratio.median <= at_most))
        };
        goal("full against rbd export | lz4 -1, time", 1.0, |round| {
            round.full.wall_seconds / round.export_lz4.wall_seconds
        })?;
        goal("1 % changed against full, time", INCREMENTAL_AT_MOST, |round| {
            round.incremental.wall_seconds / round.full.wall_seconds
        })?;
        goal("full without BLAKE3 and LZ4 against rbd export, CPU", CPU_AT_MOST, |round| {
            (round.full.cpu_seconds - round.hash_and_lz4_cpu_seconds) / round.export.cpu_seconds
        })
    }
}
