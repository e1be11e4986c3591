//! Runs a pipeline: starts the agents, connects them to a ring, watches them, and ends them.
//!
//! No agent is left when a run returns, however it ends. If a run fails, the command that started it removes what the
//! run left in the repository or beside its target.

mod cause;
pub(crate) mod ceph;
mod interrupt;
mod member;
mod ring;
mod sandbox;
mod usage;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use septet_ipc::message::{Damage, Progress};
use septet_ipc::shm::sweep;
use septet_ipc::{Begin, Event, Failure};

use crate::{Observer, Report, RunError, Runner, Settings, pipeline};
use cause::first_cause;
pub use interrupt::Interrupt;
use member::{Heard, Member, REAP_TIMEOUT};
use usage::Meter;

/// The interval of checks for events that send no message: signals, exits, memory.
const TICK: Duration = Duration::from_millis(100);
/// How long the supervisor waits for further messages after one agent has failed.
const GRACE: Duration = Duration::from_millis(300);

/// Runs jobs. Each agent is a process.
#[derive(Debug, Default)]
pub struct Supervisor {
    settings: Settings,
    interrupt: Interrupt,
    /// Whether the user has been told that the kernel can't confine the agents.
    told_of_sandbox: AtomicBool,
}

impl Supervisor {
    /// A supervisor whose runs end when `interrupt` is set.
    pub fn new(settings: Settings, interrupt: Interrupt) -> Self {
        Self { settings, interrupt, told_of_sandbox: AtomicBool::default() }
    }

    /// Notes once which restrictions the kernel can't enforce. This is an error if they are required.
    fn check_sandbox(&self, begin: &Begin, observer: &mut dyn Observer) -> Result<(), RunError> {
        match sandbox::check(begin, self.settings.sandboxing)? {
            Some(note) if !self.told_of_sandbox.swap(true, Ordering::Relaxed) => observer.note(&note),
            _ => {}
        }
        Ok(())
    }
}

impl Runner for Supervisor {
    fn run(&self, begin: &Begin, observer: &mut dyn Observer) -> Result<Report, RunError> {
        let started = Instant::now();
        self.check_sandbox(begin, observer)?;
        let meter = Meter::start();
        let (tell, heard) = channel();
        let members = ring::start(pipeline(begin), begin, &self.settings, &tell)?;
        drop(tell);
        let mut run = Run {
            members,
            meter,
            timeout: self.settings.timeout,
            interrupt: &self.interrupt,
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
            ..Report::default()
        })
    }

    fn clear_up(&self) -> usize {
        sweep()
    }
}

struct Run<'a> {
    members: Vec<Member>,
    meter: Meter,
    timeout: Duration,
    interrupt: &'a Interrupt,
    progress: Progress,
    damage: Vec<Damage>,
    last_tick: Instant,
    /// The last number of commands that the agents had handled, and when it last changed.
    last_step: (u64, Instant),
}

impl Run<'_> {
    /// Watches until all agents have ended successfully or one has failed.
    fn watch(&mut self, heard: &Receiver<(usize, Heard)>, observer: &mut dyn Observer) -> Result<(), RunError> {
        let mut next_tick = Instant::now();
        loop {
            match heard.recv_timeout(next_tick.saturating_duration_since(Instant::now())) {
                Ok((index, heard)) => self.hear(index, heard, observer),
                // All streams are closed: the agents have ended or are about to end.
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

    /// Makes the periodic checks. Returns true when all agents have ended successfully.
    fn tick(&mut self) -> Result<bool, RunError> {
        if self.interrupt.is_set() {
            return Err(RunError::Interrupted);
        }
        let now = Instant::now();
        // If the whole machine or this process was suspended, the silence of an agent means nothing.
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

    /// Fails if no agent is stuck and yet none makes progress. Only a defect can cause that, but the run must not wait
    /// forever.
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
        let cause = format!(
            "all agents have waited for one another for more than {seconds} s: a defect in Septet, please report it"
        );
        Err(RunError::Failed(Failure::protocol(cause)))
    }

    /// Receives further messages after one agent has failed.
    fn hear_out(&mut self, heard: &Receiver<(usize, Heard)>, observer: &mut dyn Observer) {
        let until = Instant::now() + GRACE;
        while let Ok((index, heard)) = heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.hear(index, heard, observer);
        }
        // A stream closes shortly before its process can be reaped. The cause depends on which process was killed.
        self.members.iter_mut().for_each(|member| member.reap(until));
    }

    /// Receives the messages that were sent before the streams closed.
    fn drain(&mut self, heard: &Receiver<(usize, Heard)>, observer: &mut dyn Observer) {
        while let Ok((index, heard)) = heard.recv_timeout(GRACE) {
            self.hear(index, heard, observer);
        }
    }

    /// Kills all agents that still run, and waits for each.
    fn end(&mut self) {
        self.members.iter_mut().for_each(Member::kill);
        let until = Instant::now() + REAP_TIMEOUT;
        self.members.iter_mut().for_each(|member| member.reap(until));
    }
}
