//! The workers of an agent: threads that take turns at reading commands and handle what they read.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Work;
use super::gauge::Gauge;
use super::process::spawn;
use super::shared::{Shared, went_away};
use super::worker::Worker;
use super::{Agent, Weight};
use crate::message::Failure;
use crate::message::Message;
use crate::message::Receiver;
use crate::shm::Table;

/// How long a worker that has more to do may hold results back, so that one write carries several.
const HOLD_BACK_MAX: Duration = Duration::from_millis(4);

/// A running agent.
pub(super) struct Crew<A> {
    hands: Arc<Hands<A>>,
    threads: Vec<JoinHandle<()>>,
}

/// What the workers share.
struct Hands<A> {
    agent: A,
    shared: Arc<Shared>,
}

impl<A: Agent> Crew<A> {
    /// Starts all workers except the calling thread, which must call [`run`](Self::run).
    pub(super) fn start(agent: A, shared: &Arc<Shared>, upstream: Receiver) -> Result<Self, Failure> {
        let count = agent.workers();
        shared.store_counts.get_or_init(|| agent.store_counts());
        shared.turns.give(upstream, false);
        let hands = Arc::new(Hands { agent, shared: Arc::clone(shared) });
        let mut threads = Vec::new();
        for _ in 1..count {
            let (hands, gauge) = (Arc::clone(&hands), shared.gauge());
            threads.push(spawn("worker", move || {
                if let Err(failure) = hands.work(&gauge) {
                    hands.shared.fail(failure);
                }
            })?);
        }
        Ok(Self { hands, threads })
    }

    /// Works until `end`. When all commands are done, calls the agent's `end` handler.
    pub(super) fn run(self, gauge: &Gauge) -> Result<(), Failure> {
        self.hands.work(gauge)?;
        let mut threads = self.threads.into_iter();
        let joined = gauge.idle(|| threads.try_for_each(JoinHandle::join));
        joined.map_err(|_| Failure::protocol("a worker panicked"))?;
        gauge.at_work(|| self.hands.agent.end(&Worker::new(&*self.hands.shared, gauge)))
    }
}

impl<A: Agent> Hands<A> {
    /// Takes turns at reading until `end` was read.
    fn work(&self, gauge: &Gauge) -> Result<(), Failure> {
        let mut flushed = Instant::now();
        while let Some(upstream) = self.turn(gauge)? {
            self.read_on(upstream, gauge, &mut flushed)?;
        }
        Ok(())
    }

    /// Returns the turn to read. Flushes everything that is held back before it waits for the turn.
    fn turn(&self, gauge: &Gauge) -> Result<Option<Receiver>, Failure> {
        let turns = &self.shared.turns;
        match turns.try_take() {
            Some(upstream) => Ok(Some(upstream)),
            None => self.shared.flush_both().map(|()| gauge.idle(|| turns.take())),
        }
    }

    /// Reads until a message is worth giving the turn away for, and handles that message.
    fn read_on(&self, mut upstream: Receiver, gauge: &Gauge, flushed: &mut Instant) -> Result<(), Failure> {
        let turns = &self.shared.turns;
        loop {
            let (message, fd) = self.next(&mut upstream, flushed)?;
            if matches!(message, Message::End) {
                turns.end();
                return self.shared.flush_both();
            }
            let Some(job) = self.job(message, fd)? else { continue };
            match self.weight(&job) {
                Weight::Light => {
                    gauge.at_work(|| self.handle(job, gauge))?;
                    continue;
                }
                Weight::Computes => {
                    let more = upstream.has_line();
                    turns.give(upstream, more);
                }
                Weight::Waits => turns.give(upstream, true),
            }
            return gauge.at_work(|| self.handle(job, gauge));
        }
    }

    /// The next message. Flushes what is ready before it waits, and when `HOLD_BACK_MAX` has passed.
    fn next(&self, upstream: &mut Receiver, flushed: &mut Instant) -> Result<(Message, Option<OwnedFd>), Failure> {
        if flushed.elapsed() >= HOLD_BACK_MAX {
            self.shared.downstream.flush()?;
            self.shared.releases.flush_many()?;
            *flushed = Instant::now();
        }
        let mut has_waited = false;
        let before_wait = || {
            if std::mem::replace(&mut has_waited, true) {
                self.agent.let_go();
            }
            self.shared.flush_both().map(|()| A::PATIENCE)
        };
        upstream.receive_or(before_wait)?.ok_or_else(went_away)
    }

    /// The agent's job for a message. None if the framework handles the message itself.
    fn job(&self, message: Message, fd: Option<OwnedFd>) -> Result<Option<Job>, Failure> {
        match (message, fd) {
            (Message::Command(mut command), _) => {
                let id = command.shm_id.take();
                let slot = id.map(|id| self.shared.attached.slot(id, command.stored_bytes())).transpose()?;
                Ok(Some(Job::Work(Work { command: *command, slot })))
            }
            (Message::Begin(_), _) => Err(Failure::protocol("`begin` was received twice")),
            (Message::Release(_), _) => Err(Failure::protocol("a release was received from upstream")),
            (Message::Table(line), Some(fd)) => {
                let table = self.agent.table(Table::attach(line, fd)?)?;
                table.map_or(Ok(()), |table| self.shared.announce(&table)).map(|()| None)
            }
            (message @ (Message::Pool(_) | Message::Error(_)), fd) => self.shared.pass(message, fd).map(|()| None),
            (other, _) => Ok(Some(Job::Message(other))),
        }
    }

    fn weight(&self, job: &Job) -> Weight {
        match job {
            Job::Work(work) => self.agent.weight(work),
            Job::Message(_) => Weight::Waits,
        }
    }

    fn handle(&self, job: Job, gauge: &Gauge) -> Result<(), Failure> {
        let worker = Worker::new(&*self.shared, gauge);
        match job {
            Job::Work(work) => self.agent.handle(work, &worker),
            Job::Message(message) => self.agent.message(message, &worker),
        }
    }
}

/// What an agent has to handle.
enum Job {
    Work(Work),
    Message(Message),
}
