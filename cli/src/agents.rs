//! Starts an agent from the common binary: started as `septet-reader`, the binary is the reader.
//!
//! Every agent is a separate process, but there is only one file to install, so versions cannot differ.

use std::process::ExitCode;

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
use septet_ipc::agent::{die_with_supervisor, run as run_agent, show_name};

/// Runs the agent between its standard input and output until `end`.
pub(crate) fn run(agent: AgentKind) -> ExitCode {
    show_name(agent);
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
