//! One binary, many processes: called as `septet-reader`, this is the reader.
//!
//! One file is copied to a host and versions can't skew; yet every agent is a process of its own.

use std::path::Path;
use std::process::ExitCode;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use septet_agent_backupreader::Backupreader;
use septet_agent_checksum::Checksum;
use septet_agent_compressor::Compressor;
use septet_agent_datawriter::Datawriter;
use septet_agent_decompressor::Decompressor;
use septet_agent_diff::Diff;
use septet_agent_metawriter::Metawriter;
use septet_agent_reader::Reader;
use septet_agent_s3worker::S3worker;
use septet_agent_volumewriter::Volumewriter;
use septet_ipc::AgentKind;
use septet_ipc::agent::run as run_agent;

/// Where the supervisor leaves its process id for the agents.
pub(crate) const SUPERVISOR_VARIABLE: &str = "SEPTET_SUPERVISOR_PID";

/// The agent that this process was started as, if it was.
pub(crate) fn called_as() -> Option<AgentKind> {
    let name = std::env::args_os().next()?;
    Path::new(&name).file_name()?.to_str()?.strip_prefix("septet-")?.parse().ok()
}

/// Runs the agent between its standard input and output until `end`.
pub(crate) fn run(agent: AgentKind) -> ExitCode {
    let name = agent.process_name();
    // `ps` and `top` show this; it is cut to 15 bytes, and only for show.
    let _ = rustix::thread::set_name(&std::ffi::CString::new(name.as_str()).unwrap_or_default());
    if !die_with_supervisor() {
        return ExitCode::FAILURE;
    }
    match agent {
        AgentKind::Master => septet_agent_master::run(),
        AgentKind::Reader => run_agent::<Reader>(),
        AgentKind::Checksum => run_agent::<Checksum>(),
        AgentKind::Diff => run_agent::<Diff>(),
        AgentKind::Compressor => run_agent::<Compressor>(),
        AgentKind::Datawriter => run_agent::<Datawriter>(),
        AgentKind::Metawriter => run_agent::<Metawriter>(),
        AgentKind::Backupreader => run_agent::<Backupreader>(),
        AgentKind::Decompressor => run_agent::<Decompressor>(),
        AgentKind::Volumewriter => run_agent::<Volumewriter>(),
        AgentKind::S3worker => run_agent::<S3worker>(),
    }
}

/// Asks the kernel to end this agent with its supervisor; false if that has gone already. An agent
/// that is run by hand has none.
fn die_with_supervisor() -> bool {
    let Ok(supervisor) = std::env::var(SUPERVISOR_VARIABLE) else { return true };
    // Where it can't be had, the agent still ends when its sockets do.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    getppid().map(Pid::as_raw_nonzero).is_some_and(|pid| pid.to_string() == supervisor)
}
