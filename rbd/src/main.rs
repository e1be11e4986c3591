//! The `septet-rbd` binary: called as `septet-reader` or `septet-volumewriter`, it is that agent for
//! RBD images; by its own name it answers and does what `septet` has to know and to do before and after
//! them. `septet` starts it.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use septet_agent_reader::Reader;
use septet_agent_volumewriter::Volumewriter;
use septet_format::BackupId;
use septet_ipc::agent::{called_as, die_with_supervisor, run, show_name};
use septet_ipc::{AgentKind, Event, Failure};
use septet_rbd::{Images, identify, tidy};
use septet_volume::RbdUrl;
use serde_json::json;

/// The part of Septet that speaks to Ceph; `septet` starts it for volumes that are called rbd:….
#[derive(Debug, Parser)]
#[command(name = "septet-rbd", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print what a snapshot is by Ceph's own ids, as JSON
    Identify {
        /// The image with its snapshot
        image: RbdUrl,
    },
    /// Remove the snapshots that were made for a volume's backups
    Tidy {
        /// The image
        image: RbdUrl,
        /// The repository's id
        #[arg(long)]
        repository: String,
        /// The volume's name in the repository
        #[arg(long)]
        volume: String,
        /// A backup whose snapshot stays
        #[arg(long)]
        keep: Vec<BackupId>,
    },
}

fn main() -> ExitCode {
    if !die_with_supervisor() {
        return ExitCode::FAILURE;
    }
    match called_as() {
        Some(AgentKind::Reader) => as_agent(AgentKind::Reader, run::<Reader<Images>>),
        Some(AgentKind::Volumewriter) => as_agent(AgentKind::Volumewriter, run::<Volumewriter<Images>>),
        _ => by_hand(),
    }
}

/// Runs an agent, unless the supervisor is of another version and could mean something else.
fn as_agent(kind: AgentKind, agent: impl FnOnce() -> ExitCode) -> ExitCode {
    show_name(kind);
    let own = env!("CARGO_PKG_VERSION");
    match std::env::var("SEPTET_VERSION") {
        Ok(other) if other != own => {
            let mut failure =
                Failure::protocol(format!("septet-rbd is version {own}, and septet {other}: install both alike"));
            failure.agent = Some(kind);
            Event::Failed(failure).emit();
            ExitCode::FAILURE
        }
        _ => agent(),
    }
}

fn by_hand() -> ExitCode {
    let lines = match Arguments::parse().command {
        Command::Identify { image } => {
            identify(&image).map(|origin| origin.iter().map(|origin| json!(origin).to_string()).collect())
        }
        Command::Tidy { image, repository, volume, keep } => tidy(&image, &repository, &volume, &keep),
    };
    match lines {
        Ok(lines) => {
            lines.iter().for_each(|line| println!("{line}"));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
