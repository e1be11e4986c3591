//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::data::{Kind, Volume};
use crate::units::Size;

/// What this program is asked for.
#[derive(Parser)]
#[command(about = "What Septet costs, beside the bare work that no backup can do without")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make the volumes, where they are not there yet
    Data(Volumes),
    /// Time the bare work on one thread: BLAKE3, LZ4, zero check, memcpy, O_DIRECT read
    Bare {
        #[command(flatten)]
        volumes: Volumes,
        /// How often
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Back up, back up again, restore and compare; and hold the CPU time against the bare work
    Run {
        #[command(flatten)]
        volumes: Volumes,
        /// How often
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// The septet to measure, instead of the one built from this tree
        #[arg(long)]
        septet: Option<PathBuf>,
        /// Write JSON, with each round's figures
        #[arg(long)]
        json: bool,
    },
    /// What S3 costs beside the pipeline, and how much of a slow server's speed comes through
    S3 {
        #[command(flatten)]
        volumes: Volumes,
        /// How often
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// The septet to measure, instead of the one built from this tree
        #[arg(long)]
        septet: Option<PathBuf>,
        /// How long the slow server takes for an answer
        #[arg(long, default_value_t = 50)]
        latency_ms: u64,
        /// What it carries on one connection, MB/s
        #[arg(long, default_value_t = 100.0)]
        mb_per_second: f64,
        /// Only start that server, and print its URL and what it is asked: for a run by hand
        #[arg(long)]
        serve: bool,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Back up in full, beside the same work in one process: what the split into agents costs
    Split {
        #[command(flatten)]
        volumes: Volumes,
        /// How often
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// The septet to measure, instead of the one built from this tree
        #[arg(long)]
        septet: Option<PathBuf>,
        /// Write JSON, with each round's figures
        #[arg(long)]
        json: bool,
    },
    /// What `split` runs
    #[command(hide = true)]
    OneProcess { volume: PathBuf, output: PathBuf, at_once: usize },
    /// Back up an RBD image, whole and when 1 % has changed, beside `rbd export` and `rbd export | lz4 -1`
    Rbd {
        #[command(flatten)]
        rbd: Image,
        /// The septet to measure, instead of the one built from this tree
        #[arg(long)]
        septet: Option<PathBuf>,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Septet beside what people use (bench/peers/install gets it), and near the machine's limits: writes a table and a chart
    Peers(Peers),
    /// What volumes that grow, more changes, longer chains and more volumes cost: writes a table and a chart
    Scale(Scale),
    /// Take a huge sparse volume through, and hold the memory against its bound
    Memory {
        #[command(flatten)]
        huge: Huge,
        /// Keep the backups in SeaweedFS (tests/setup gets it), and not in a directory
        #[arg(long)]
        s3: bool,
        /// The septet to measure, instead of the one built from this tree
        #[arg(long)]
        septet: Option<PathBuf>,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
}

/// The image in a Ceph cluster.
#[derive(Args)]
pub(crate) struct Image {
    /// The cluster's configuration file
    #[arg(long, env = "CEPH_CONF")]
    pub(crate) conf: PathBuf,
    /// The pool to make the image in
    #[arg(long, default_value = "rbd")]
    pub(crate) pool: String,
    /// Where to work; room for the image and a backup of it is needed
    #[arg(long, default_value = "target/bench")]
    pub(crate) dir: PathBuf,
    /// The image's size
    #[arg(long, default_value = "4GiB")]
    pub(crate) size: Size,
    /// How often
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// What the data follows from
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// The volumes to work on.
#[derive(Args, Clone)]
pub(crate) struct Volumes {
    /// Where the volumes are, or are made
    #[arg(long, default_value = "target/bench")]
    pub(crate) dir: PathBuf,
    /// The size of each
    #[arg(long, default_value = "2GiB")]
    pub(crate) size: Size,
    /// Only these kinds of volume
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kind::ALL)]
    pub(crate) kinds: Vec<Kind>,
    /// What the data follows from
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// Who is measured beside Septet, and for how long.
#[derive(Args)]
pub(crate) struct Peers {
    #[command(flatten)]
    pub(crate) volumes: Volumes,
    /// At most so many rounds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// No further round when it would end after so many minutes
    #[arg(long, default_value_t = 14)]
    pub(crate) minutes: u64,
    /// Only these peers, by the beginning of their names
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Nobody on S3
    #[arg(long)]
    pub(crate) no_s3: bool,
    /// The Ceph cluster on which `rbd export | lz4` is measured too
    #[arg(long, env = "CEPH_CONF")]
    pub(crate) conf: Option<PathBuf>,
    /// The septet to measure, instead of the one built from this tree
    #[arg(long)]
    pub(crate) septet: Option<PathBuf>,
    /// Where the table, the chart and all figures are written
    #[arg(long, default_value = "bench/results")]
    pub(crate) results: PathBuf,
}

/// What is to grow, and how far.
#[derive(Args)]
pub(crate) struct Scale {
    /// Where to work
    #[arg(long, default_value = "target/bench")]
    pub(crate) dir: PathBuf,
    /// The largest sparse volume
    #[arg(long, default_value = "16TiB")]
    pub(crate) size: Size,
    /// The longest chain of backups
    #[arg(long, default_value_t = 1000)]
    pub(crate) chain: u32,
    /// The most volumes in one repository
    #[arg(long, default_value_t = 10_000)]
    pub(crate) volumes: u32,
    /// The volume of which more and more is changed
    #[arg(long, default_value = "1GiB")]
    pub(crate) changed: Size,
    /// How often each point is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// What the data follows from
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// The septet to measure, instead of the one built from this tree
    #[arg(long)]
    pub(crate) septet: Option<PathBuf>,
    /// Where the table, the chart and all figures are written
    #[arg(long, default_value = "bench/results")]
    pub(crate) results: PathBuf,
}

/// The huge volume.
#[derive(Args)]
pub(crate) struct Huge {
    /// Where to work
    #[arg(long, default_value = "target/bench")]
    pub(crate) dir: PathBuf,
    /// The volume's size
    #[arg(long, default_value = "4TiB")]
    pub(crate) size: Size,
    /// How much data is scattered over it; four times as much must be free
    #[arg(long, default_value = "4GiB")]
    pub(crate) data: Size,
    /// What the data follows from
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

impl Volumes {
    /// All of them, made now where they are not there yet.
    pub(crate) fn prepare(&self) -> anyhow::Result<Vec<Volume>> {
        self.kinds.iter().map(|&kind| Volume::prepare(kind, &self.dir, self.size, self.seed)).collect()
    }
}
