//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::data::{Kind, Volume};
use crate::units::Size;

/// The command and its options.
#[derive(Parser)]
#[command(about = "What Septet costs, beside the bare work that no backup can do without")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Create the volumes that do not exist yet
    Data(Volumes),
    /// Time the bare work on one thread: BLAKE3, LZ4, zero check, memcpy, O_DIRECT read
    Bare {
        #[command(flatten)]
        volumes: Volumes,
        /// The number of rounds
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Back up, back up again, restore and compare; and compare the CPU time with the bare work
    Run {
        #[command(flatten)]
        volumes: Volumes,
        /// The number of rounds
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// The binary to measure, instead of the one built from this tree
        #[arg(long)]
        septet: Option<PathBuf>,
        /// Write JSON, with each round's figures
        #[arg(long)]
        json: bool,
    },
    /// Measure the cost of S3, and how much of a slow server's bandwidth Septet uses
    S3 {
        #[command(flatten)]
        volumes: Volumes,
        /// The number of rounds
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// The binary to measure, instead of the one built from this tree
        #[arg(long)]
        septet: Option<PathBuf>,
        /// The slow server's latency
        #[arg(long, default_value_t = 50)]
        latency_ms: u64,
        /// The slow server's rate on one connection, MB/s
        #[arg(long, default_value_t = 100.0)]
        mb_per_second: f64,
        /// Only start that server and print its URL and each request: for a run by hand
        #[arg(long)]
        serve: bool,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Compare full backups with the same work in one process: the price of separate processes
    Split {
        #[command(flatten)]
        volumes: Volumes,
        /// The number of rounds
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// The binary to measure, instead of the one built from this tree
        #[arg(long)]
        septet: Option<PathBuf>,
        /// Write JSON, with each round's figures
        #[arg(long)]
        json: bool,
    },
    /// The work that `split` runs
    #[command(hide = true)]
    OneProcess { volume: PathBuf, output: PathBuf, at_once: usize },
    /// Back up an RBD image, in full and with 1 % changed, beside `rbd export` and `rbd export | lz4 -1`
    Rbd {
        #[command(flatten)]
        rbd: Image,
        /// The binary to measure, instead of the one built from this tree
        #[arg(long)]
        septet: Option<PathBuf>,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Compare Septet with other tools (bench/peers/install) and the machine's limits; write a table and a chart
    Peers(Peers),
    /// Measure growth: larger volumes, more changes, longer chains, more volumes; write a table and a chart
    Scale(Scale),
    /// Back up and restore a huge sparse volume, and compare the memory with its limit
    Memory {
        #[command(flatten)]
        huge: Huge,
        /// Store the backups in SeaweedFS (tests/setup installs it) instead of a directory
        #[arg(long)]
        s3: bool,
        /// The binary to measure, instead of the one built from this tree
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
    /// The working directory; it needs room for the image and a backup of it
    #[arg(long, default_value = "target/bench")]
    pub(crate) dir: PathBuf,
    /// The image's size
    #[arg(long, default_value = "4GiB")]
    pub(crate) size: Size,
    /// The number of rounds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// The seed of the data
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// The volumes to work on.
#[derive(Args, Clone)]
pub(crate) struct Volumes {
    /// The directory of the volumes
    #[arg(long, default_value = "target/bench")]
    pub(crate) dir: PathBuf,
    /// The size of each volume
    #[arg(long, default_value = "2GiB")]
    pub(crate) size: Size,
    /// Only these kinds of volume
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kind::ALL)]
    pub(crate) kinds: Vec<Kind>,
    /// The seed of the data
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// The tools to measure, and the time limit.
#[derive(Args)]
pub(crate) struct Peers {
    #[command(flatten)]
    pub(crate) volumes: Volumes,
    /// The maximum number of rounds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Start no round that would end after this many minutes
    #[arg(long, default_value_t = 14)]
    pub(crate) minutes: u64,
    /// Only these tools, by the beginning of their names
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Do not measure on S3
    #[arg(long)]
    pub(crate) no_s3: bool,
    /// The Ceph cluster on which `rbd export | lz4` is measured too
    #[arg(long, env = "CEPH_CONF")]
    pub(crate) conf: Option<PathBuf>,
    /// The binary to measure, instead of the one built from this tree
    #[arg(long)]
    pub(crate) septet: Option<PathBuf>,
    /// The directory for the table, the chart and all figures
    #[arg(long, default_value = "bench/results")]
    pub(crate) results: PathBuf,
}

/// The growing quantities and their maxima.
#[derive(Args)]
pub(crate) struct Scale {
    /// The working directory
    #[arg(long, default_value = "target/bench")]
    pub(crate) dir: PathBuf,
    /// The largest sparse volume
    #[arg(long, default_value = "16TiB")]
    pub(crate) size: Size,
    /// The longest chain of backups
    #[arg(long, default_value_t = 1000)]
    pub(crate) chain: u32,
    /// The largest number of volumes in one repository
    #[arg(long, default_value_t = 10_000)]
    pub(crate) volumes: u32,
    /// The size of the volume with growing changes
    #[arg(long, default_value = "1GiB")]
    pub(crate) changed: Size,
    /// The number of measurements of each point
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// The seed of the data
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// The binary to measure, instead of the one built from this tree
    #[arg(long)]
    pub(crate) septet: Option<PathBuf>,
    /// The directory for the table, the chart and all figures
    #[arg(long, default_value = "bench/results")]
    pub(crate) results: PathBuf,
}

/// The huge volume.
#[derive(Args)]
pub(crate) struct Huge {
    /// The working directory
    #[arg(long, default_value = "target/bench")]
    pub(crate) dir: PathBuf,
    /// The volume's size
    #[arg(long, default_value = "4TiB")]
    pub(crate) size: Size,
    /// The data that is scattered over it; four times as much must be free
    #[arg(long, default_value = "4GiB")]
    pub(crate) data: Size,
    /// The seed of the data
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

impl Volumes {
    /// All volumes. Creates those that do not exist.
    pub(crate) fn prepare(&self) -> anyhow::Result<Vec<Volume>> {
        self.kinds.iter().map(|&kind| Volume::prepare(kind, &self.dir, self.size, self.seed)).collect()
    }
}
