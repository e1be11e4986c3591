//! The `septet` binary: the command line, the supervisor of the agents and, if it is started under an agent's
//! name, that agent.

mod agents;
mod args;
mod commands;
mod error;
mod report;
mod signals;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Like the agents, this process may hold credentials in memory.
    septet_sandbox::keep_no_memory_image();
    match septet_ipc::agent::called_as() {
        Some(agent) => agents::run(agent),
        None => commands::run(args::parse()),
    }
}
