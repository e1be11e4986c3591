//! Finds the first cause among several failures, and the agents that no longer answer.
//!
//! When one agent ends, its neighbours fail too: they lose a peer, or receive half a line from it. So the cause is the
//! agent that was killed, or else the failure of an agent that had a reason of its own. The cause must be determined
//! before the supervisor itself kills the others.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use procfs_core::FromRead;
use procfs_core::process::Stat;
use septet_ipc::{AgentKind, Failure, FailureKind};

use super::ceph;
use super::member::Member;

/// The failure to report to the user.
pub(crate) fn first_cause(members: &[Member]) -> Failure {
    let died = |member: &Member| {
        let exit = member.exit.filter(|exit| !exit.success() && member.failure.is_none())?;
        Some(death(member.kind, exit, member.last_words.as_deref()))
    };
    let killed = |member: &Member| died(member).filter(|_| member.exit.is_some_and(|exit| exit.signal().is_some()));
    let own = |member: &Member| member.failure.clone().filter(|failure| failure.kind != FailureKind::Peer);
    let any = |member: &Member| member.failure.clone();
    let first = members.iter().find_map(killed).or_else(|| members.iter().find_map(own));
    let first = first.or_else(|| members.iter().find_map(died)).or_else(|| members.iter().find_map(any));
    first.unwrap_or_else(|| Failure::new(FailureKind::Peer, "an agent ended without giving a reason"))
}

fn death(kind: AgentKind, exit: ExitStatus, last_words: Option<&str>) -> Failure {
    let name = kind.process_name();
    let how = match (exit.signal(), exit.code()) {
        (Some(9), _) => format!("{name} was killed (SIGKILL): by hand, or because the machine ran out of memory"),
        (Some(7), _) => {
            format!("{name} died of SIGBUS: /dev/shm is full; enlarge it (mount -o remount,size=512M /dev/shm)")
        }
        (Some(signal), _) => format!("{name} was killed by signal {signal}"),
        (None, code) => format!("{name} ended with status {}", code.unwrap_or(-1)),
    };
    let missing = last_words.and_then(ceph::missing_library);
    let mut failure = Failure::new(
        FailureKind::Peer,
        match last_words {
            _ if missing.is_some() => missing.unwrap_or_default(),
            Some(words) => format!("{how}: {words}"),
            None => how,
        },
    );
    failure.agent = Some(kind);
    failure
}

/// Marks an agent as failed if it has not answered for `timeout`, or if one command takes longer than that.
pub(crate) fn check_alive(members: &mut [Member], timeout: Duration) {
    let now = Instant::now();
    let silent = |member: &Member| member.exit.is_none() && now - member.last_sign > timeout;
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    let stuck = |member: &Member| {
        member.exit.is_none() && member.status.as_ref().is_some_and(|status| status.stuck_ms > timeout_ms)
    };
    // An agent that waits for a stopped one may have begun its command before the stopped one fell silent.
    let stopped = |member: &Member| member.exit.is_none() && is_stopped(member.child.id());
    let anybody_stuck = members.iter().any(stuck);
    if let Some(member) = members.iter_mut().find(|member| silent(member) || anybody_stuck && stopped(member)) {
        let why = if stopped(member) { "it was stopped (SIGSTOP)" } else { "it hangs" };
        fail(member, format!("has not answered for {} s: {why}", timeout.as_secs()));
    } else if let Some(member) = members.iter_mut().rev().find(|member| stuck(member)) {
        // The agents upstream may be stuck too, because they wait to pass their results to this one.
        fail(
            member,
            format!(
                "has worked on one command for more than {} s: its disk or server does not answer",
                timeout.as_secs()
            ),
        );
    }
}

fn fail(member: &mut Member, what: String) {
    let name = member.kind.process_name();
    let cause = format!("{name} (process {}) {what}; --timeout sets the limit", member.child.id());
    let mut failure = Failure::new(FailureKind::Protocol, cause);
    failure.agent = Some(member.kind);
    member.fail(failure);
}

fn is_stopped(pid: u32) -> bool {
    Stat::from_file(format!("/proc/{pid}/stat")).is_ok_and(|stat| matches!(stat.state, 'T' | 't'))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// An agent that ended like the shell script, after it reported `failure`.
    fn ended(kind: AgentKind, script: &str, failure: Option<Failure>) -> Member {
        let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let mut member = Member::new(kind, child);
        member.reap(Instant::now() + Duration::from_secs(20));
        Member { failure, ..member }
    }

    #[test]
    fn the_agent_that_was_killed_is_the_cause_and_not_those_that_felt_it() {
        let half_a_line = Failure::protocol("the stream ended in the middle of a line");
        let members = [
            ended(
                AgentKind::Reader,
                "exit 1",
                Some(Failure::new(FailureKind::Peer, "the next agent has closed the connection")),
            ),
            ended(AgentKind::Checksum, "kill -9 $$", None),
            ended(AgentKind::Diff, "exit 1", Some(half_a_line)),
        ];
        let cause = first_cause(&members);
        assert!(
            cause.agent == Some(AgentKind::Checksum) && cause.cause.contains("septet-checksum was killed"),
            "{cause}"
        );
    }

    #[test]
    fn a_reason_of_ones_own_is_the_cause_and_not_the_loss_of_a_peer() {
        let members = [
            ended(
                AgentKind::Reader,
                "exit 1",
                Some(Failure::new(FailureKind::Peer, "the next agent has closed the connection")),
            ),
            ended(AgentKind::Checksum, "exit 3", None),
            ended(AgentKind::Datawriter, "exit 1", Some(Failure::store("no space left"))),
        ];
        assert_eq!(first_cause(&members).cause, "no space left");
        assert_eq!(first_cause(&members[..2]).cause, "septet-checksum ended with status 3");
    }
}
