//! Starts the agents of a pipeline and connects them to a ring.
//!
//! Each agent's standard output is a socket to the next agent's standard input. The last agent's output leads to the
//! master. The sockets have no path in the file system, so no other process can occupy one. The job is written to that
//! last socket before the agents start, as the master's first line.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::time::Instant;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use septet_ipc::agent::{SANDBOX_VARIABLE, SUPERVISOR_VARIABLE};
use septet_ipc::{AgentKind, Begin, Message, message};

use super::member::{Heard, Member, REAP_TIMEOUT};
use super::{ceph, sandbox};
use crate::Settings;

/// The environment variables of every agent. Agents that access a store with credentials get the whole environment,
/// because credentials and endpoints come that way.
const COMMON_VARIABLES: [&str; 3] = ["PATH", "LANG", "RUST_BACKTRACE"];

/// Starts the agents. Their messages on standard error are sent to `tell`.
pub(crate) fn start(
    agents: &[AgentKind],
    begin: &Begin,
    settings: &Settings,
    tell: &Sender<(usize, Heard)>,
) -> std::io::Result<Vec<Member>> {
    let mut links = Vec::new();
    for _ in agents {
        links.push(socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?);
    }
    let (mut downstream, mut upstream): (Vec<OwnedFd>, Vec<OwnedFd>) = links.into_iter().unzip();
    if let Some(last) = downstream.last() {
        let job = message::Sender::new(last.try_clone()?);
        job.send(&Message::Begin(Box::new(begin.clone()))).map_err(std::io::Error::other)?;
    }
    // The master reads what the last agent writes.
    upstream.rotate_right(1);
    let mut members: Vec<Member> = Vec::new();
    let mut ends = agents.iter().zip(upstream.drain(..).zip(downstream.drain(..)));
    let started = ends.try_for_each(|(&kind, (stdin, stdout))| {
        let child = spawn(command(kind, begin, settings), kind, stdin, stdout)
            .map_err(|error| if ceph::speaks(kind, begin) { ceph::not_started(&error) } else { error })?;
        members.push(Member::new(kind, child));
        Ok(())
    });
    // All agents are started before the supervisor does anything else.
    let listening = started
        .and_then(|()| members.iter_mut().enumerate().try_for_each(|(index, member)| member.listen(index, tell)));
    if let Err(error) = listening {
        members.iter_mut().for_each(Member::kill);
        members.iter_mut().for_each(|member| member.reap(Instant::now() + REAP_TIMEOUT));
        return Err(error);
    }
    Ok(members)
}

/// The command for this same binary, or for `septet-rbd` in the case of Ceph, with its environment.
fn command(kind: AgentKind, begin: &Begin, settings: &Settings) -> Command {
    let of_ceph = ceph::speaks(kind, begin);
    let mut command = if of_ceph { Command::new(ceph::program()) } else { Command::new("/proc/self/exe") };
    if of_ceph {
        ceph::set_environment(&mut command, settings.timeout);
    } else if !sees_credentials(kind, begin) {
        command.env_clear();
        command.envs(COMMON_VARIABLES.iter().filter_map(|&name| std::env::var_os(name).map(|value| (name, value))));
    }
    command.env(SUPERVISOR_VARIABLE, std::process::id().to_string());
    command.env(SANDBOX_VARIABLE, sandbox::mode(settings.sandboxing));
    command
}

/// Starts the process under the agent's name. This must be called from the main thread, because the agents die with the
/// thread that started them.
fn spawn(mut command: Command, kind: AgentKind, stdin: OwnedFd, stdout: OwnedFd) -> std::io::Result<Child> {
    command.arg0(kind.process_name()).stdin(stdin).stdout(stdout).stderr(Stdio::piped());
    // Ctrl-C must reach only the supervisor, which ends the ring in order.
    command.process_group(0);
    command.spawn()
}

/// Whether the agent accesses a store that needs credentials.
fn sees_credentials(kind: AgentKind, begin: &Begin) -> bool {
    let stores =
        matches!(kind, AgentKind::Datawriter | AgentKind::Metawriter | AgentKind::Backupreader | AgentKind::S3worker);
    stores && septet_repository::wants_credentials(begin.repo())
}
