//! The framework: the threads of an agent, and how messages, slots and failures pass through it.
//!
//! One thread reads commands from upstream and hands them to the workers; one reads releases from
//! downstream, so that a full socket in one direction never blocks the other; one tells the
//! supervisor that the agent is alive. `end` is a barrier: it is passed on when all earlier
//! commands are done.

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::gauge::{BeforeWait, Gauge};
use super::process::{STATUS_INTERVAL, run_process, spawn};
use super::queue::Queue;
use super::shared::Shared;
use super::{Agent, Context};
use crate::begin::Begin;
use crate::command::Work;
use crate::failure::{Failure, FailureKind};
use crate::message::Message;
use crate::shm::Table;
use crate::status::Event;
use crate::wire::{Receiver, Sender};

/// Commands that wait for a worker: enough that neither side sleeps for every one. What they carry
/// is bounded by the pools.
const QUEUE_LIMIT: usize = 64;
/// How long a worker that has more to do may hold results back, so that several go in one write.
const HOLD_BACK_MAX: Duration = Duration::from_millis(4);

/// Runs the agent `A` between the sockets that are its standard input (upstream) and output
/// (downstream), until `end`.
pub fn run<A: Agent>() -> ExitCode {
    run_process(A::KIND, run_between::<A>)
}

fn run_between<A: Agent>(upstream: OwnedFd, downstream: OwnedFd) -> Result<(), Failure> {
    let releases_from = Receiver::of_the_way_back(downstream.try_clone().map_err(Failure::protocol)?);
    let releases_to = upstream.try_clone().map_err(Failure::protocol)?;
    let shared = Shared::new(A::KIND, Sender::new(downstream), Sender::new(releases_to));
    spawn_releases(&shared, releases_from)?;
    spawn_status(&shared)?;
    let gauge = shared.gauge();
    gauge.adopt(Arc::clone(&shared) as Arc<dyn BeforeWait>);
    let mut intake = Intake::<A> { shared: Arc::clone(&shared), gauge, crew: None };
    intake.run(&mut Receiver::new(upstream)).inspect_err(|failure| shared.send_error(failure))
}

/// Work for the crew.
enum Job {
    Work(Work),
    Message(Message),
}

/// The agent at work: the handler, and the threads that call it.
struct Crew<A> {
    agent: Arc<A>,
    jobs: Arc<Queue<Job>>,
    workers: Vec<JoinHandle<()>>,
}

/// The thread that reads commands.
struct Intake<A> {
    shared: Arc<Shared>,
    gauge: Arc<Gauge>,
    crew: Option<Crew<A>>,
}

impl<A: Agent> Intake<A> {
    fn run(&mut self, upstream: &mut Receiver) -> Result<(), Failure> {
        loop {
            let next = match upstream.buffered()? {
                Some(message) => Some(message),
                None => {
                    self.shared.flush()?;
                    upstream.receive()?
                }
            };
            match next {
                None => return Err(Failure::new(FailureKind::Peer, "the previous agent went away without `end`")),
                Some((Message::End, _)) => return self.end(),
                Some((message, fd)) => self.take(message, fd)?,
            }
        }
    }

    fn take(&mut self, message: Message, fd: Option<OwnedFd>) -> Result<(), Failure> {
        match (message, fd) {
            (Message::Begin(begin), _) => self.begin(begin),
            (Message::Pool(line), Some(fd)) => {
                self.shared.attached.attach(&line, &fd)?;
                self.shared.downstream.send_with_fd(&Message::Pool(line), fd.as_fd())
            }
            (Message::Table(line), Some(fd)) => match self.crew()?.agent.table(Table::attach(line, fd)?)? {
                Some(table) => self.announce(&table),
                None => Ok(()),
            },
            (Message::Error(failure), _) => {
                // The agent that failed has told the supervisor; here it only passes through.
                self.shared.downstream.send(&Message::Error(failure))?;
                Err(Failure::new(FailureKind::Peer, "an earlier agent failed"))
            }
            (Message::Release(_), _) => Err(Failure::protocol("a release came from upstream")),
            (Message::Command(mut command), _) => {
                let id = command.shm_id.take();
                let slot = id.map(|id| self.shared.attached.slot(id, command.stored_bytes())).transpose()?;
                self.dispatch(Job::Work(Work { command: *command, slot }))
            }
            (other, _) => self.dispatch(Job::Message(other)),
        }
    }

    /// Lets the agent begin, and tells the next ones what it made and found out.
    fn begin(&mut self, mut begin: Box<Begin>) -> Result<(), Failure> {
        if self.crew.is_some() {
            return Err(Failure::protocol("a second `begin`"));
        }
        let context = Context::new(A::KIND);
        let agent = Arc::new(self.gauge.at_work(|| A::begin(&mut begin, &context))?);
        let made = context.into_parts();
        // Known before they are announced: from then on a release may name them.
        self.shared.own(&made);
        for pool in &made.pools {
            self.shared.downstream.send_with_fd(&Message::Pool(pool.line().clone()), pool.object())?;
        }
        self.shared.downstream.send(&Message::Begin(begin))?;
        for table in made.announced {
            self.announce(&table)?;
        }
        self.crew = Some(Crew::start(agent, &self.shared)?);
        Ok(())
    }

    fn announce(&self, table: &Table) -> Result<(), Failure> {
        self.shared.downstream.send_with_fd(&Message::Table(table.line().clone()), table.object())
    }

    fn crew(&self) -> Result<&Crew<A>, Failure> {
        self.crew.as_ref().ok_or_else(|| Failure::protocol("a command came before `begin`"))
    }

    /// Hands the job to a worker, if there are any and it is worth one.
    fn dispatch(&self, job: Job) -> Result<(), Failure> {
        let crew = self.crew()?;
        if crew.workers.is_empty() || job.is_light(&*crew.agent) {
            return self.gauge.at_work(|| job.run(&*crew.agent, &self.shared));
        }
        // The workers take time: what is ready must not wait for them.
        self.shared.flush()?;
        crew.jobs.push(job);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Failure> {
        if let Some(mut crew) = self.crew.take() {
            crew.jobs.close();
            for worker in crew.workers.drain(..) {
                worker.join().map_err(|_| Failure::protocol("a worker panicked"))?;
            }
            self.gauge.at_work(|| crew.agent.end(&*self.shared))?;
            Event::Status(self.shared.status()).emit();
        }
        self.shared.downstream.queue(&Message::End)?;
        self.shared.flush()
    }
}

impl<A: Agent> Crew<A> {
    fn start(agent: Arc<A>, shared: &Arc<Shared>) -> Result<Self, Failure> {
        let count = agent.workers();
        let mut workers = Vec::new();
        let jobs = Arc::new(Queue::new(QUEUE_LIMIT));
        for _ in 0..count {
            let gauge = shared.gauge();
            let (agent, shared, jobs) = (Arc::clone(&agent), Arc::clone(shared), Arc::clone(&jobs));
            workers.push(spawn("worker", move || work(&*agent, &shared, &jobs, &gauge))?);
        }
        Ok(Self { agent, jobs, workers })
    }
}

fn work<A: Agent>(agent: &A, shared: &Arc<Shared>, jobs: &Queue<Job>, gauge: &Arc<Gauge>) {
    gauge.adopt(Arc::clone(shared) as Arc<dyn BeforeWait>);
    let mut flushed = Instant::now();
    let mut next = jobs.pop();
    while let Some(job) = next {
        let mut done = gauge.at_work(|| job.run(agent, shared));
        next = jobs.try_pop();
        if next.is_none() || flushed.elapsed() >= HOLD_BACK_MAX {
            done = done.and_then(|()| shared.flush());
            flushed = Instant::now();
        }
        if let Err(failure) = done {
            shared.fail(failure);
        }
        next = next.or_else(|| jobs.pop());
    }
}

impl Job {
    fn is_light<A: Agent>(&self, agent: &A) -> bool {
        matches!(self, Self::Work(work) if agent.is_light(work))
    }

    fn run<A: Agent>(self, agent: &A, shared: &Shared) -> Result<(), Failure> {
        match self {
            Self::Work(work) => agent.handle(work, shared),
            Self::Message(message) => agent.message(message, shared),
        }
    }
}

/// Reads what comes up from downstream, for as long as anything does.
fn spawn_releases(shared: &Arc<Shared>, mut downstream: Receiver) -> Result<(), Failure> {
    let shared = Arc::clone(shared);
    spawn("releases", move || {
        let mut pass = || -> Result<(), Failure> {
            while let Some((message, _)) = downstream.receive()? {
                let mut next = Some(message);
                while let Some(message) = next {
                    let Message::Release(ids) = message else {
                        return Err(Failure::protocol("something else than a release came from downstream"));
                    };
                    shared.release(&ids)?;
                    next = downstream.buffered()?.map(|(message, _)| message);
                }
                shared.releases.flush()?;
            }
            Ok(())
        };
        if let Err(failure) = pass() {
            shared.fail(failure);
        }
    })
    .map(drop)
}

fn spawn_status(shared: &Arc<Shared>) -> Result<(), Failure> {
    let shared = Arc::clone(shared);
    spawn("status", move || {
        loop {
            Event::Status(shared.status()).emit();
            std::thread::sleep(STATUS_INTERVAL);
            // A store may let go of a slot in a thread of its own, after the handler returned.
            let _ = shared.releases.flush();
        }
    })
    .map(drop)
}
