//! The master as a process: the plan between two sockets.
//!
//! Unlike for the other agents, the ring begins and ends here. `begin` is the master's first line (from the supervisor)
//! and comes back once, and only the master starts work. It never blocks in a write: what the next agent has no room
//! for is queued here, and what comes back is read meanwhile. That keeps the ring from deadlocking.

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use septet_ipc::agent::{STATUS_INTERVAL, cpu_ms, lock_in, run_process, spawn};
use septet_ipc::message::{Intake, Receiver, Sender, Status};
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
    /// The job from the supervisor.
    fn job(&mut self) -> Result<Box<Begin>, Failure> {
        match self.next()? {
            Message::Begin(job) => Ok(job),
            _ => Err(Failure::protocol("the first line is not `begin`")),
        }
    }

    /// Sends `begin` round the ring and waits until it is back with what the agents added.
    fn open(&mut self, job: Box<Begin>) -> Result<Begin, Failure> {
        self.downstream.queue(&Message::Begin(job))?;
        loop {
            if let Message::Begin(job) = self.next()? {
                return Ok(*job);
            }
        }
    }

    fn work(&mut self, plan: &mut dyn Plan) -> Result<(), Failure> {
        // All agents have opened what they work on. From here on data may be written.
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

    /// Sends `end` round the ring. When it is back, everything is done.
    fn close(&mut self) -> Result<(), Failure> {
        self.downstream.queue(&Message::End)?;
        while self.next()? != Message::End {}
        Ok(())
    }

    fn carry_out(&self, step: Step) -> Result<(), Failure> {
        for damage in step.damage {
            Event::Damage(damage).emit();
        }
        step.commands.iter().try_for_each(|command| self.downstream.queue(command).map(drop))
    }

    /// The next message for the plan. The master ignores pools, and passes on what goes round in order (a table).
    fn next(&mut self) -> Result<Message, Failure> {
        loop {
            while !self.downstream.flush_now()? && !self.upstream.is_ready_before(&self.downstream)? {}
            match self.upstream.receive()? {
                None => {
                    return Err(Failure::new(FailureKind::Peer, "the connection to the agents closed before `end`"));
                }
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

/// The master owns no slots. A release that reaches it has no owner and is dropped.
fn drain(mut releases: Receiver) {
    while let Ok(Some(_)) = releases.receive() {}
}

fn show_life(started: Instant, intake: &Arc<Intake>) {
    loop {
        std::thread::sleep(STATUS_INTERVAL);
        Event::Status(status(started, intake)).emit();
    }
}

/// The status of the planning thread. It waits only for the ring.
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

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use septet_ipc::{Command, State};

    use super::*;
    use crate::ExtentPlan;

    const BLOCK: u32 = 65536;
    const PIECES: u64 = 4000;

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
    }

    fn answer(ring: &Sender, block: u64, state: State) {
        let command = Command::new(block * u64::from(BLOCK), BLOCK.into(), state);
        ring.send(&Message::Command(Box::new(command))).unwrap();
    }

    /// A volume that is split into one-block pieces. What is sent out at a time exceeds a socket's buffer, and so do
    /// the answers that the ring sends before it reads on.
    #[test]
    fn the_master_reads_on_also_when_nobody_reads_what_it_writes() {
        let ((up, last), (down, first)) = (pair(), pair());
        let master = std::thread::spawn(move || {
            let volume_bytes = 2 * PIECES * u64::from(BLOCK);
            let mut plan = ExtentPlan::new(0..volume_bytes, volume_bytes, BLOCK, crate::extents::RESTORE_BLOCKS, 4)?;
            let mut ring = Ring { upstream: Receiver::new(up), downstream: Sender::new(down) };
            ring.work(&mut plan)?;
            ring.close()
        });
        let (to_master, mut from_master) = (Sender::new(last), Receiver::new(first));
        let Some((Message::Command(map), _)) = from_master.receive().unwrap() else { panic!("no question") };
        assert_eq!(map.state, State::Map);
        for piece in 0..PIECES {
            answer(&to_master, 2 * piece, State::Present);
            answer(&to_master, 2 * piece + 1, State::Hole);
        }
        for piece in 0..PIECES {
            let Some((Message::Command(asked), _)) = from_master.receive().unwrap() else { panic!("too few commands") };
            assert_eq!((asked.state, asked.offset), (State::Data, 2 * piece * u64::from(BLOCK)));
            answer(&to_master, 2 * piece, State::Data);
        }
        assert_eq!(from_master.receive().unwrap().unwrap().0, Message::End);
        to_master.send(&Message::End).unwrap();
        master.join().unwrap().unwrap();
    }
}
