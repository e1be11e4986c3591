//! Runs a pipeline: starts the agents, wires them to a ring, watches them, and ends them.
//!
//! Whatever happens, no agent is left when [`run`] returns. What a run that did not end well has
//! left in the repository or beside its target is for the command that started it to clear away.

mod cause;
pub(crate) mod ceph;
mod member;
mod ring;
mod sandbox;
mod usage;

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use septet_ipc::message::{Damage, Progress, Status};
use septet_ipc::{AgentKind, Begin, Event, Failure};
use septet_store::Counts;

use crate::args::Global;
use crate::error::words;
use crate::signals;
use cause::first_cause;
use member::{Heard, Member};
use usage::Meter;
pub(crate) use usage::Usage;

/// How often the supervisor looks at what sends it no message: signals, exits, memory.
const TICK: Duration = Duration::from_millis(100);
/// How long the others may still tell their side when one agent has failed.
const GRACE: Duration = Duration::from_millis(300);
/// How long killed processes may take to go: one in a system call that can't be interrupted stays
/// until that returns, and must not hold up the rest.
const REAP_TIMEOUT: Duration = Duration::from_secs(2);

/// The agents of each job, in the order of the ring.
pub(crate) fn pipeline(begin: &Begin) -> &'static [AgentKind] {
    use AgentKind::{
        Backupreader, Checksum, Compressor, Datawriter, Decompressor, Diff, Master, Metawriter, Reader, S3worker,
        Volumewriter,
    };
    match begin {
        Begin::Backup(_) => &[Master, Reader, Checksum, Diff, Compressor, Datawriter, Metawriter],
        Begin::Restore(_) => &[Master, Backupreader, Decompressor, Volumewriter],
        Begin::Verify(_) => &[Master, Backupreader, Decompressor],
        Begin::Delete(_) => &[Master, S3worker],
    }
}

/// Who wants to know how a run is going.
pub(crate) trait Observer {
    /// How far it is.
    fn progress(&mut self, progress: &Progress);
    /// Something that the user should know.
    fn note(&mut self, text: &str);
    /// A piece that is damaged.
    fn damage(&mut self, damage: &Damage);
}

/// What a run that ended well did.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) progress: Progress,
    pub(crate) damage: Vec<Damage>,
    pub(crate) usage: Usage,
    pub(crate) agents: Vec<Status>,
    pub(crate) seconds: f64,
}

impl Report {
    /// What all processes of the run have made of objects and requests.
    pub(crate) fn counts(&self) -> Counts {
        self.agents.iter().fold(septet_store::counts(), |Counts { objects, requests }, agent| Counts {
            objects: objects + agent.objects,
            requests: requests + agent.requests,
        })
    }
}

/// Why a run did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted,
    /// An agent failed: the first cause.
    #[error("{0}")]
    Failed(Failure),
    /// The agents could not be started, or not be waited for.
    #[error("starting the agents: {0}")]
    Start(String),
    /// The agents can't be locked in as it is required.
    #[error("{0}")]
    Sandbox(String),
}

impl From<std::io::Error> for RunError {
    fn from(error: std::io::Error) -> Self {
        Self::Start(words(&error))
    }
}

/// Runs a job.
pub(crate) fn run(begin: &Begin, global: &Global, observer: &mut dyn Observer) -> Result<Report, RunError> {
    let started = Instant::now();
    let timeout = global.timeout;
    sandbox::check(begin, global, observer)?;
    let meter = Meter::start();
    let (tell, heard) = channel();
    let members = ring::start(pipeline(begin), begin, global, &tell)?;
    drop(tell);
    let mut run = Run {
        members,
        meter,
        timeout,
        progress: Progress::default(),
        damage: Vec::new(),
        last_tick: started,
        last_step: (0, started),
    };
    let result = run.watch(&heard, observer);
    run.end();
    result?;
    Ok(Report {
        progress: run.progress,
        damage: run.damage,
        usage: run.meter.finish(&run.members),
        agents: run.members.into_iter().filter_map(|member| member.status).collect(),
        seconds: started.elapsed().as_secs_f64(),
    })
}

struct Run {
    members: Vec<Member>,
    meter: Meter,
    timeout: Duration,
    progress: Progress,
    damage: Vec<Damage>,
    last_tick: Instant,
    /// How many commands the agents had handled when that number last changed, and when that was.
    last_step: (u64, Instant),
}

impl Run {
    /// Watches until all agents have ended well, or the first has not.
    fn watch(&mut self, heard: &Receiver<(usize, Heard)>, observer: &mut dyn Observer) -> Result<(), RunError> {
        let mut next_tick = Instant::now();
        loop {
            match heard.recv_timeout(next_tick.saturating_duration_since(Instant::now())) {
                Ok((index, heard)) => self.hear(index, heard, observer),
                // All streams are closed: the agents have ended or are about to.
                Err(RecvTimeoutError::Disconnected) => {
                    let until = Instant::now() + TICK;
                    self.members.iter_mut().for_each(|member| member.reap(until));
                    next_tick = Instant::now();
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if Instant::now() >= next_tick {
                next_tick = Instant::now() + TICK;
                if self.tick()? {
                    self.drain(heard, observer);
                    return Ok(());
                }
            }
            if self.members.iter().any(Member::has_failed) {
                self.hear_out(heard, observer);
                return Err(RunError::Failed(first_cause(&self.members)));
            }
        }
    }

    fn hear(&mut self, index: usize, heard: Heard, observer: &mut dyn Observer) {
        let member = &mut self.members[index];
        member.last_sign = Instant::now();
        match heard {
            Heard::Event(Event::Status(status)) => member.status = Some(status),
            Heard::Event(Event::Failed(failure)) => member.fail(failure),
            Heard::Event(Event::Note { text, .. }) => observer.note(&text),
            Heard::Event(Event::Progress(progress)) => {
                observer.progress(&progress);
                self.progress = progress;
            }
            Heard::Event(Event::Damage(damage)) => {
                observer.damage(&damage);
                self.damage.push(damage);
            }
            Heard::Text(text) => member.last_words = Some(text),
        }
    }

    /// Looks around; true when all agents have ended well.
    fn tick(&mut self) -> Result<bool, RunError> {
        if signals::interrupted() {
            return Err(RunError::Interrupted);
        }
        let now = Instant::now();
        // When the whole machine or this process stood still, nobody's silence means anything.
        if now - self.last_tick > self.timeout.min(Duration::from_secs(2)) / 2 + TICK {
            self.members.iter_mut().for_each(|member| member.last_sign = now);
            self.last_step.1 = now;
        }
        self.last_tick = now;
        self.meter.sample(&self.members, now);
        let mut running = 0;
        for member in &mut self.members {
            running += usize::from(member.is_running()?);
        }
        cause::check_alive(&mut self.members, self.timeout);
        self.check_gets_on(now)?;
        Ok(running == 0 && !self.members.iter().any(Member::has_failed))
    }

    /// Nobody is stuck, and yet nothing moves: that can only be a defect, but it must not last.
    fn check_gets_on(&mut self, now: Instant) -> Result<(), RunError> {
        let statuses = || self.members.iter().filter_map(|member| member.status.as_ref());
        let handled = statuses().map(|status| status.commands).sum();
        if handled != self.last_step.0 || statuses().any(|status| status.stuck_ms > 0) {
            self.last_step = (handled, now);
        }
        if now - self.last_step.1 <= self.timeout + Duration::from_secs(2) {
            return Ok(());
        }
        let seconds = self.timeout.as_secs();
        let cause =
            format!("all agents wait for one another for more than {seconds} s: a defect in Septet, please report it");
        Err(RunError::Failed(Failure::protocol(cause)))
    }

    /// One agent has failed: the others may still tell their side.
    fn hear_out(&mut self, heard: &Receiver<(usize, Heard)>, observer: &mut dyn Observer) {
        let until = Instant::now() + GRACE;
        while let Ok((index, heard)) = heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.hear(index, heard, observer);
        }
        // A stream closes a moment before its process can be waited for: who was killed must be known.
        self.members.iter_mut().for_each(|member| member.reap(until));
    }

    /// What was said before the streams closed is still to be heard.
    fn drain(&mut self, heard: &Receiver<(usize, Heard)>, observer: &mut dyn Observer) {
        while let Ok((index, heard)) = heard.recv_timeout(GRACE) {
            self.hear(index, heard, observer);
        }
    }

    /// Ends whoever still runs, and waits for each.
    fn end(&mut self) {
        self.members.iter_mut().for_each(Member::kill);
        let until = Instant::now() + REAP_TIMEOUT;
        self.members.iter_mut().for_each(|member| member.reap(until));
    }
}
