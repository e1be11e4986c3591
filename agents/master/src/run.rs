//! The master as a process: the plan between two sockets.
//!
//! It differs from the other agents in that the ring begins and ends here: `begin` is its first
//! line (from the supervisor) and comes back once, and it alone starts work. What it has under way
//! is bounded, so it never blocks in a write while the ring waits for it to read.

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use septet_ipc::agent::{STATUS_INTERVAL, cpu_ms, lock_in, run_process, spawn};
use septet_ipc::intake::Intake;
use septet_ipc::status::Status;
use septet_ipc::wire::{Receiver, Sender};
use septet_ipc::{AgentKind, Begin, Event, Failure, FailureKind, Message, Needs};

use crate::{Plan, Step, plan};

const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Runs the master between its standard input (upstream) and output (downstream).
pub fn run() -> ExitCode {
    run_process(AgentKind::Master, run_between)
}

fn run_between(upstream: OwnedFd, downstream: OwnedFd) -> Result<(), Failure> {
    let releases = Receiver::new(downstream.try_clone().map_err(Failure::protocol)?);
    let mut ring = Ring { upstream: Receiver::new(upstream), downstream: Sender::new(downstream) };
    let (started, intake) = (Instant::now(), ring.upstream.intake());
    let job = ring.job()?;
    lock_in(&Needs::nothing())?;
    spawn("releases", move || drain(releases))?;
    spawn("status", move || show_life(started, &intake))?;
    let begin = ring.open(job)?;
    let mut plan = plan(&begin)?;
    ring.work(&mut *plan)?;
    ring.close()?;
    Event::Status(status(started, &ring.upstream.intake())).emit();
    Ok(())
}

struct Ring {
    upstream: Receiver,
    downstream: Sender,
}

impl Ring {
    /// The job, as the supervisor gave it.
    fn job(&mut self) -> Result<Box<Begin>, Failure> {
        match self.next()? {
            Message::Begin(job) => Ok(job),
            _ => Err(Failure::protocol("the first line is not `begin`")),
        }
    }

    /// Sends `begin` round and waits until it is back, with what the agents added.
    fn open(&mut self, job: Box<Begin>) -> Result<Begin, Failure> {
        self.downstream.send(&Message::Begin(job))?;
        loop {
            if let Message::Begin(job) = self.next()? {
                return Ok(*job);
            }
        }
    }

    fn work(&mut self, plan: &mut dyn Plan) -> Result<(), Failure> {
        // All agents have opened what they work on: from here on something may be written.
        Event::Progress(plan.progress().clone()).emit();
        let mut told = Instant::now();
        self.carry_out(plan.start()?)?;
        while !plan.is_done() {
            let step = plan.on(self.next()?)?;
            self.carry_out(step)?;
            if told.elapsed() >= PROGRESS_INTERVAL {
                Event::Progress(plan.progress().clone()).emit();
                told = Instant::now();
            }
        }
        Event::Progress(plan.progress().clone()).emit();
        Ok(())
    }

    /// Sends `end` round; when it is back, everything is done.
    fn close(&mut self) -> Result<(), Failure> {
        self.downstream.send(&Message::End)?;
        while self.next()? != Message::End {}
        Ok(())
    }

    fn carry_out(&self, step: Step) -> Result<(), Failure> {
        for damage in step.damage {
            Event::Damage(damage).emit();
        }
        if step.commands.is_empty() {
            return Ok(());
        }
        for command in step.commands {
            self.downstream.queue(&command)?;
        }
        self.downstream.flush()
    }

    /// The next message that the plan is to see. Pools are of no use to the master, and what goes
    /// round in order (a table) it passes on.
    fn next(&mut self) -> Result<Message, Failure> {
        loop {
            match self.upstream.receive()? {
                None => return Err(Failure::new(FailureKind::Peer, "the ring broke without `end`")),
                Some((Message::Table(line), Some(fd))) => {
                    self.downstream.send_with_fd(&Message::Table(line), fd.as_fd())?;
                }
                Some((Message::Pool(_), _)) => {}
                Some((Message::Error(failure), _)) => {
                    let failure = *failure;
                    return Err(Failure::new(FailureKind::Peer, failure));
                }
                Some((message, _)) => return Ok(message),
            }
        }
    }
}

/// The master owns no slots: what comes up to it has no owner and is dropped.
fn drain(mut releases: Receiver) {
    while let Ok(Some(_)) = releases.receive() {}
}

fn show_life(started: Instant, intake: &Arc<Intake>) {
    loop {
        std::thread::sleep(STATUS_INTERVAL);
        Event::Status(status(started, intake)).emit();
    }
}

/// What the one thread that plans has done; it waits for nothing but the ring.
fn status(started: Instant, intake: &Intake) -> Status {
    let worker_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let input_ms = intake.waited_us() / 1000;
    Status {
        commands: intake.lines(),
        cpu_ms: cpu_ms(),
        workers: 1,
        worker_ms,
        busy_ms: worker_ms.saturating_sub(input_ms),
        input_ms,
        queue_mean: intake.queue_mean(),
        queue_most: intake.queue_most(),
        ..Status::alive(AgentKind::Master)
    }
}
