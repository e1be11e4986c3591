//! An agent as a process: its two sockets, its threads, and how it ends. All agents use this. So does the master, which
//! is not an [`Agent`](super::Agent) because the ring begins and ends in it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use rustix::time::{ClockId, clock_gettime};

use crate::message::AgentKind;
use crate::message::Event;
use crate::message::Failure;

/// How often an agent reports that it is alive.
pub const STATUS_INTERVAL: Duration = Duration::from_millis(500);

/// The environment variable in which the supervisor passes its process id to the processes that it starts.
pub const SUPERVISOR_VARIABLE: &str = "SEPTET_SUPERVISOR_PID";

/// The agent that this process was started as, if any, according to the name that it was called by.
pub fn called_as() -> Option<AgentKind> {
    let name = std::env::args_os().next()?;
    Path::new(&name).file_name()?.to_str()?.strip_prefix("septet-")?.parse().ok()
}

/// Asks the kernel to kill this process when its supervisor ends. Returns false if the supervisor has already ended. A
/// process that is started by hand has no supervisor.
pub fn die_with_supervisor() -> bool {
    let Ok(supervisor) = std::env::var(SUPERVISOR_VARIABLE) else { return true };
    // Without this signal, an agent still ends when its sockets close.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    getppid().map(Pid::as_raw_nonzero).is_some_and(|pid| pid.to_string() == supervisor)
}

/// Makes `ps` and `top` show the agent's name.
pub fn show_name(kind: AgentKind) {
    // The kernel cuts it to 15 bytes. It is only for display.
    let _ = rustix::thread::set_name(&std::ffi::CString::new(kind.process_name()).unwrap_or_default());
}

/// Runs `body` between standard input (the upstream socket) and standard output (the downstream socket). Reports a
/// failure to the supervisor.
pub fn run_process(kind: AgentKind, body: impl FnOnce(OwnedFd, OwnedFd) -> Result<(), Failure>) -> ExitCode {
    report_panics(kind);
    let upstream = std::io::stdin().as_fd().try_clone_to_owned();
    let downstream = std::io::stdout().as_fd().try_clone_to_owned();
    let ends = upstream.and_then(|upstream| Ok((upstream, downstream?)));
    match ends.map_err(Failure::protocol).and_then(|(upstream, downstream)| body(upstream, downstream)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(mut failure) => {
            failure.agent.get_or_insert(kind);
            Event::Failed(failure).emit();
            ExitCode::FAILURE
        }
    }
}

/// CPU time that this process has used so far, ms.
pub fn cpu_ms() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    u64::try_from(time.tv_sec * 1000 + time.tv_nsec / 1_000_000).unwrap_or_default()
}

/// Starts a thread of an agent.
///
/// # Errors
/// The system can't start another thread.
pub fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Failure> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|error| Failure::protocol(error).doing("starting a thread"))
}

/// Shows the user a message that is not a failure.
pub fn note(agent: AgentKind, text: impl Into<String>) {
    Event::Note { agent, text: text.into() }.emit();
}

/// The number of cores that this process may use. It is read only once: a process that is locked in can no longer read
/// everything that limits it.
pub fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// A panic is a bug of ours. It is reported like any failure and ends the process at once.
fn report_panics(kind: AgentKind) {
    std::panic::set_hook(Box::new(move |panic| {
        let mut failure = Failure::protocol(format!("a defect in Septet, please report it: {panic}"));
        failure.agent = Some(kind);
        Event::Failed(failure).emit();
        std::process::exit(101);
    }));
}
