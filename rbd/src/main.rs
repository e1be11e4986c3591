//! The `septet-rbd` binary, which `septet` starts. Called as `septet-reader` or `septet-volumewriter`, it is that agent
//! for RBD images. Called by its own name, it answers the questions that `septet` has before and after the agents run.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use septet_agent_reader::Reader;
use septet_agent_volumewriter::Volumewriter;
use septet_ipc::agent::{called_as, die_with_supervisor, run, show_name};
use septet_ipc::{AgentKind, Event, Failure};
use septet_rbd::{Images, attend};
use septet_volume::RbdUrl;

/// The part of Septet that speaks to Ceph; `septet` starts it for volumes that are called rbd:….
#[derive(Debug, Parser)]
#[command(name = "septet-rbd", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer questions about an image: a line of JSON each, from standard input to standard output
    Attend {
        /// The image, and the snapshot if one is meant
        image: RbdUrl,
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

/// Runs an agent, unless the supervisor has another version, whose messages might have another meaning.
fn as_agent(kind: AgentKind, agent: impl FnOnce() -> ExitCode) -> ExitCode {
    show_name(kind);
    let own = env!("CARGO_PKG_VERSION");
    match std::env::var("SEPTET_VERSION") {
        Ok(other) if other != own => {
            let mut failure = Failure::protocol(format!(
                "septet-rbd has version {own} and septet {other}: install the same version of both"
            ));
            failure.agent = Some(kind);
            Event::Failed(failure).emit();
            ExitCode::FAILURE
        }
        _ => agent(),
    }
}

fn by_hand() -> ExitCode {
    let Command::Attend { image } = Arguments::parse().command;
    match attend(&image, std::io::stdin().lock(), std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
