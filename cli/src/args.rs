//! The command line. Other programs call it, so options keep their names and meanings.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand, ValueEnum};
use septet_format::{BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, BackupId, VolumeName};
use septet_ipc::AgentKind;

/// Backs up block devices, files and Ceph images, and proves every byte that it restores.
#[derive(Debug, Parser)]
#[command(
    name = "septet",
    version,
    max_term_width = 100,
    after_help = "BACKUP is an id, VOLUME/ID or VOLUME@latest.\n\
        REPO is a directory, which the first backup creates, or s3://BUCKET/PREFIX. S3 settings come from\n\
        AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE, AWS_ENDPOINT_URL, AWS_REGION, AWS_CA_BUNDLE or the\n\
        instance's role. The URL may have options, such as s3://BUCKET/PREFIX?path-style=true&part-size=16;\n\
        README.md lists them.\n\
        Exit status: 0 success; 1 failure; 2 wrong usage; 3 damage found; 130 interrupted.\n\
        With --json a command that fails ends with an error event. Its kind is bad_request, interrupted, not_found,\n\
        in_use, damaged, unsupported, store, no_space, volume or other."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    #[command(flatten)]
    pub(crate) global: Global,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Print more: how the volume is read, and what each agent did
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,

    /// Show what each agent did and what it waited for
    #[arg(long, global = true)]
    pub(crate) profile: bool,

    /// Fail if an agent does not answer, or one read or write does not finish, for this long
    #[arg(long, global = true, value_name = "SECONDS", default_value = "120", value_parser = parse_seconds)]
    pub(crate) timeout: Duration,

    /// Stop when standard input ends, as if interrupted. The run then ends with its caller
    #[arg(long, global = true)]
    pub(crate) until_eof: bool,

    /// Fail if the kernel cannot sandbox the agents (Landlock, seccomp), instead of printing a note
    #[arg(long, global = true, conflicts_with = "no_sandbox")]
    pub(crate) require_sandbox: bool,

    /// Do not sandbox the agents
    #[arg(long, global = true)]
    pub(crate) no_sandbox: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Back up a file, a block device or an RBD image
    Backup(Backup),
    /// Write a backup to a file, a block device or an RBD image
    Restore(Restore),
    /// Delete backups, and the data that no other backup needs
    Delete(Delete),
    /// Remove data that no backup needs: leftovers of crashed runs and interrupted deletions
    Clean(Clean),
    /// Read all data and name each damaged range
    Verify(Verify),
    /// List volumes and backups
    List(List),
    /// Show one backup
    Show(Show),
    /// Rebuild a lost or damaged map from the indexes of the segments
    Rebuild(Rebuild),
    /// Write a backup, or its changes since another one, as a stream for `rbd import-diff`
    ExportDiff(ExportDiff),
    /// Make a backup from a stream of `rbd export-diff`
    ImportDiff(ImportDiff),
    /// Test a repository: back up a small file, restore it, compare it and delete the backup
    Smoke(Smoke),
    /// Run one agent between its standard input and output (see PROTOCOL.md)
    #[command(hide = true)]
    Agent {
        /// Which agent
        #[arg(value_parser = |name: &str| name.parse::<AgentKind>().map_err(|_| "not an agent's name"))]
        agent: AgentKind,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Repo {
    /// The repository: a directory, or s3://BUCKET/PREFIX
    #[arg(long, env = "SEPTET_REPO", value_name = "REPO")]
    pub(crate) repo: String,
}

/// Access to a Ceph cluster. The options of an `rbd:` URL take precedence. Otherwise Ceph's own defaults apply
/// (`/etc/ceph/ceph.conf`, `CEPH_CONF`, `CEPH_ARGS`, `client.admin`).
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Ceph {
    /// The Ceph configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) ceph_conf: Option<String>,

    /// The Ceph user, without "client."
    #[arg(long, value_name = "NAME")]
    pub(crate) ceph_user: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// What to back up: a file, a block device, rbd:POOL/IMAGE or rbd:POOL/IMAGE@SNAPSHOT
    pub(crate) source: PathBuf,

    #[command(flatten)]
    pub(crate) ceph: Ceph,

    /// Read and compare this share of the blocks that Ceph calls unchanged
    #[arg(long, value_name = "PERCENT", default_value = "1", value_parser = parse_percent)]
    pub(crate) audit: f64,

    /// SOURCE is a snapshot and does not change: a resumed backup does not read stored blocks again
    #[arg(long)]
    pub(crate) snapshot: bool,

    #[command(flatten)]
    pub(crate) repo: Repo,

    /// The volume's name in the repository [default: made from SOURCE]
    #[arg(long, value_name = "NAME")]
    pub(crate) volume: Option<VolumeName>,

    /// The backup's id [default: the time and a random number]
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<BackupId>,

    /// Store every block and compare with no earlier backup
    #[arg(long, conflicts_with = "parent")]
    pub(crate) full: bool,

    /// The backup to compare with [default: the newest of the volume]
    #[arg(long, value_name = "ID")]
    pub(crate) parent: Option<BackupId>,

    /// Block size, a power of two from 64KiB to 4MiB [default: the parent's, else 1MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_block_bytes)]
    pub(crate) block_size: Option<u32>,

    /// A file with a JSON object to store with the backup; `show --json` prints it in `extensions`
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata: Option<PathBuf>,

    /// The compression of blocks
    #[arg(long, value_enum, default_value_t = Compression::Lz4)]
    pub(crate) compression: Compression,

    /// The number of parallel reads
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) streams: u32,

    /// How uploads to S3 are protected against corruption [default: the cheapest check that the server enforces]
    #[arg(long, value_enum, value_name = "CHECK")]
    pub(crate) upload_check: Option<UploadCheck>,

    /// The size at which a segment is closed
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = parse_segment_bytes, hide = true)]
    pub(crate) segment_size: u64,

    /// Print JSON lines instead of a progress bar. The last line is the summary
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compression {
    /// LZ4, if it saves space
    Lz4,
    /// No compression
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum UploadCheck {
    /// A CRC; fails if the server does not check it
    Crc,
    /// An MD5, which costs more CPU than the rest of an upload
    Md5,
    /// No check
    None,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup
    pub(crate) backup: String,

    /// The target: a new file, with --overwrite an existing file or block device, or rbd:POOL/IMAGE
    pub(crate) target: PathBuf,

    #[command(flatten)]
    pub(crate) ceph: Ceph,

    /// Create the RBD image, with the size and features of the one that was backed up
    #[arg(long, conflicts_with = "overwrite")]
    pub(crate) create: bool,

    #[command(flatten)]
    pub(crate) repo: Repo,

    /// The first byte to restore. It is written to the same offset in TARGET
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "0")]
    pub(crate) offset: u64,

    /// The number of bytes to restore [default: to the volume's end]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) length: Option<u64>,

    /// Overwrite an existing target
    #[arg(long)]
    pub(crate) overwrite: bool,

    /// TARGET is new and reads as zeros: do not write zeros
    #[arg(long, requires = "overwrite")]
    pub(crate) zeroed: bool,

    /// Skip damaged blocks and list them, instead of stopping
    #[arg(long)]
    pub(crate) keep_going: bool,

    /// The number of parallel reads and writes [default: 4; from S3 the number of connections]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) streams: Option<u32>,

    /// Print JSON lines instead of a progress bar. The last line is the summary
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The backups
    #[arg(required = true)]
    pub(crate) backup: Vec<String>,

    #[command(flatten)]
    pub(crate) repo: Repo,

    /// Also delete unfinished backups, on whatever host they were made. A backup that is being made fails. A missing
    /// backup is no error. Name each as VOLUME/ID
    #[arg(long)]
    pub(crate) force: bool,

    /// Print JSON lines. The last line is the summary
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The backups [default: all]
    pub(crate) backup: Vec<String>,

    #[command(flatten)]
    pub(crate) repo: Repo,

    /// Read only the manifests, and check that every object exists and has the right length
    #[arg(long)]
    pub(crate) quick: bool,

    /// Read a sample of this size, scattered over all data; check only that the rest exists. The sample is random, or
    /// chosen by --round
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent, conflicts_with = "quick")]
    pub(crate) sample: Option<f64>,

    /// Which part --sample reads: with 5%, rounds 0 to 19 together read everything
    #[arg(long, value_name = "N", requires = "sample")]
    pub(crate) round: Option<u64>,

    /// The number of parallel reads [default: 4; from S3 the number of connections]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) streams: Option<u32>,

    /// Print JSON lines instead of a progress bar. The last line is the summary
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Clean {
    /// Only this volume
    pub(crate) volume: Option<VolumeName>,

    #[command(flatten)]
    pub(crate) repo: Repo,

    /// Print JSON lines. The last line is the summary
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only this volume
    pub(crate) volume: Option<VolumeName>,

    #[command(flatten)]
    pub(crate) repo: Repo,

    /// Print one JSON line for each backup
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The backup
    pub(crate) backup: String,

    #[command(flatten)]
    pub(crate) repo: Repo,

    /// Print the manifest as one JSON line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Rebuild {
    /// The backup
    pub(crate) backup: String,

    #[command(flatten)]
    pub(crate) repo: Repo,
}

#[derive(Debug, Args)]
pub(crate) struct ExportDiff {
    /// The backup
    pub(crate) backup: String,

    /// The output: a new file, or - for standard output
    #[arg(default_value = "-")]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) repo: Repo,

    /// Write only changes since this backup [default: all data that are not zero]
    #[arg(long, value_name = "BACKUP")]
    pub(crate) from: Option<String>,

    /// The snapshot that the image must have before the import [default: the id of --from]
    #[arg(long, value_name = "NAME", requires = "from")]
    pub(crate) from_snap: Option<String>,

    /// The snapshot that the import creates [default: the backup's id]
    #[arg(long, value_name = "NAME")]
    pub(crate) to_snap: Option<String>,

    /// The version of the stream. `rbd import-diff` reads v1
    #[arg(long, value_enum, default_value_t = DiffFormat::V1)]
    pub(crate) format: DiffFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DiffFormat {
    /// The format of `rbd export-diff`
    V1,
    /// The format within `rbd export --export-format 2`
    V2,
}

#[derive(Debug, Args)]
pub(crate) struct ImportDiff {
    /// The stream, v1 or v2: a file, or - for standard input
    #[arg(default_value = "-")]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) repo: Repo,

    /// The volume's name in the repository
    #[arg(long, value_name = "NAME")]
    pub(crate) volume: VolumeName,

    /// The backup's id [default: the name of the stream's last snapshot]
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<BackupId>,

    /// The backup that the stream continues [default: the one with the name of the stream's first snapshot]
    #[arg(long, value_name = "ID")]
    pub(crate) parent: Option<BackupId>,

    /// Block size of a first backup, a power of two from 64KiB to 4MiB [default: 1MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_block_bytes)]
    pub(crate) block_size: Option<u32>,

    /// The compression of blocks
    #[arg(long, value_enum, default_value_t = Compression::Lz4)]
    pub(crate) compression: Compression,

    /// Print JSON lines instead of a progress bar. The last line is the summary
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Smoke {
    /// The repository to test [default: a temporary directory]
    #[arg(long, env = "SEPTET_REPO", value_name = "REPO")]
    pub(crate) repo: Option<String>,
}

/// The command line of this process. Ends the process for help, version and usage errors.
pub(crate) fn parse() -> Arguments {
    Arguments::parse()
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    text.parse::<ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| "give a number of bytes, such as 4096 or 64MiB".to_owned())
}

fn parse_block_bytes(text: &str) -> Result<u32, String> {
    let wrong = || format!("a block is a power of two from {BLOCK_BYTES_MIN} to {BLOCK_BYTES_MAX} bytes, such as 1MiB");
    let bytes = u32::try_from(parse_bytes(text)?).map_err(|_| wrong())?;
    let fits = bytes.is_power_of_two() && (BLOCK_BYTES_MIN..=BLOCK_BYTES_MAX).contains(&bytes);
    fits.then_some(bytes).ok_or_else(wrong)
}

fn parse_segment_bytes(text: &str) -> Result<u64, String> {
    let bytes = parse_bytes(text)?;
    (1 << 20..=1 << 34).contains(&bytes).then_some(bytes).ok_or_else(|| "a segment is from 1MiB to 16GiB".to_owned())
}

fn parse_percent(text: &str) -> Result<f64, String> {
    let percent = text.trim_end_matches('%').parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent));
    percent.ok_or_else(|| "give a number from 0 to 100".to_owned())
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    text.parse::<NonZeroU64>()
        .map(|seconds| Duration::from_secs(seconds.get()))
        .map_err(|_| "give whole seconds, at least 1".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn sizes_are_read_with_and_without_units() {
        assert_eq!(parse_bytes("4096"), Ok(4096));
        assert_eq!(parse_bytes("64KiB"), Ok(65536));
        assert_eq!(parse_block_bytes("1MiB"), Ok(1 << 20));
        for wrong in ["", "x", "-1", "3MiB", "32KiB", "8MiB"] {
            assert!(parse_block_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
