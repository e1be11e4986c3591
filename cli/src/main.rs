//! The `septet` binary: the command line, the supervisor of the agents, and, by the name it is
//! called with, each of the agents itself.

mod agents;
mod args;
mod commands;
mod error;
mod report;
mod signals;

use std::process::ExitCode;

fn main() -> ExitCode {
    // The command, too, may have credentials in its memory.
    septet_sandbox::keep_no_memory_image();
    match septet_ipc::agent::called_as() {
        Some(agent) => agents::run(agent),
        None => commands::run(args::parse()),
    }
}
