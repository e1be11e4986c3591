//! The framework: the threads of an agent, and how messages, slots and failures pass through it.
//!
//! One thread reads commands from upstream and hands them to the workers; one reads releases from
//! downstream, so that a full socket in one direction never blocks the other; one tells the
//! supervisor that the agent is alive. `end` is a barrier: it is passed on when all earlier
//! commands are done.

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel as channel;

use super::gauge::{BeforeWait, Gauge};
use super::{Agent, Context, Output};
use crate::begin::Begin;
use crate::command::Work;
use crate::failure::{Failure, FailureKind};
use crate::ids::AgentKind;
use crate::message::Message;
use crate::shm::{Attached, Pool, Releases, Table};
use crate::status::{Event, Status};
use crate::wire::{Receiver, Sender};

const STATUS_INTERVAL: Duration = Duration::from_millis(500);

/// Runs the agent `A` between the sockets that are its standard input (upstream) and output
/// (downstream), until `end`.
pub fn run<A: Agent>() -> ExitCode {
    report_panics(A::KIND);
    let (upstream, downstream) = (std::io::stdin(), std::io::stdout());
    let result = run_between::<A>(upstream.as_fd().try_clone_to_owned(), downstream.as_fd().try_clone_to_owned());
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(mut failure) => {
            failure.agent.get_or_insert(A::KIND);
            Event::Failed(failure).emit();
            ExitCode::FAILURE
        }
    }
}

fn run_between<A: Agent>(
    upstream: std::io::Result<OwnedFd>,
    downstream: std::io::Result<OwnedFd>,
) -> Result<(), Failure> {
    let upstream = upstream.map_err(Failure::protocol)?;
    let downstream = downstream.map_err(Failure::protocol)?;
    let releases_from = Receiver::new(downstream.try_clone().map_err(Failure::protocol)?);
    let releases_to = upstream.try_clone().map_err(Failure::protocol)?;
    let shared = Shared::new(A::KIND, Sender::new(downstream), Sender::new(releases_to));
    spawn_releases(&shared, releases_from)?;
    spawn_status(&shared)?;
    let gauge = shared.gauge();
    gauge.adopt(Arc::clone(&shared) as Arc<dyn BeforeWait>);
    let mut intake = Intake::<A> { shared: Arc::clone(&shared), gauge, crew: None };
    intake.run(&mut Receiver::new(upstream)).inspect_err(|failure| shared.send_error(failure))
}

/// What all threads of an agent share.
struct Shared {
    kind: AgentKind,
    downstream: Sender,
    releases: Arc<Releases>,
    attached: Attached,
    own_pools: RwLock<Vec<Arc<Pool>>>,
    own_tables: RwLock<Vec<Arc<Table>>>,
    /// The first is that of the thread that reads commands.
    gauges: RwLock<Vec<Arc<Gauge>>>,
}

impl Shared {
    fn new(kind: AgentKind, downstream: Sender, upstream: Sender) -> Arc<Self> {
        let releases = Releases::new(Arc::new(upstream));
        let attached = Attached::new(Arc::clone(&releases));
        Arc::new(Self {
            kind,
            downstream,
            releases,
            attached,
            own_pools: RwLock::default(),
            own_tables: RwLock::default(),
            gauges: RwLock::default(),
        })
    }

    /// Frees own slots and passes on the others.
    fn release(&self, ids: &[crate::ids::SlotId]) -> Result<(), Failure> {
        let own = self.own_pools.read().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            match own.iter().find(|pool| pool.line().name == id.pool) {
                Some(pool) => pool.give_back(*id)?,
                None => self.releases.push(*id),
            }
        }
        Ok(())
    }

    /// Tells the agents downstream why no more comes.
    fn send_error(&self, failure: &Failure) {
        let mut failure = failure.clone();
        failure.agent.get_or_insert(self.kind);
        // The supervisor is told on standard error in any case.
        let _ = self.downstream.send(&Message::Error(Box::new(failure)));
    }

    /// Ends the process from any thread: what it holds is worth nothing any more.
    fn fail(&self, mut failure: Failure) -> ! {
        failure.agent.get_or_insert(self.kind);
        Event::Failed(failure.clone()).emit();
        self.send_error(&failure);
        std::process::exit(1)
    }

    /// A gauge for one more thread that handles commands.
    fn gauge(&self) -> Arc<Gauge> {
        let gauge = Gauge::new();
        self.gauges.write().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&gauge));
        gauge
    }

    fn status(&self) -> Status {
        let gauges = self.gauges.read().unwrap_or_else(PoisonError::into_inner);
        let sum = |what: fn(&Gauge) -> u64| gauges.iter().map(|gauge| what(gauge)).sum::<u64>();
        Status {
            agent: self.kind,
            commands: sum(Gauge::commands),
            busy_ms: sum(Gauge::busy_us) / 1000,
            blocked_ms: sum(Gauge::blocked_us) / 1000,
            stuck_ms: gauges.iter().map(|gauge| gauge.stuck_us()).max().unwrap_or(0) / 1000,
            workers: u32::try_from(gauges.len().saturating_sub(1)).unwrap_or(u32::MAX),
            shared_bytes: self.shared_bytes(),
        }
    }

    /// The shared memory that this agent owns, bytes.
    fn shared_bytes(&self) -> u64 {
        let pools = self.own_pools.read().unwrap_or_else(PoisonError::into_inner);
        let tables = self.own_tables.read().unwrap_or_else(PoisonError::into_inner);
        pools.iter().map(|pool| pool.bytes()).sum::<u64>() + tables.iter().map(|table| table.resident_bytes()).sum::<u64>()
    }

    fn queue(&self, work: Work) -> Result<(), Failure> {
        let Work { mut command, slot } = work;
        // From here on the slot is the next agent's.
        command.shm_id = slot.map(crate::shm::Slot::pass_on);
        self.downstream.queue(&Message::Command(Box::new(command))).map(drop)
    }
}

impl BeforeWait for Shared {
    fn before_wait(&self) {
        // A broken socket is met again, and reported, by the next write.
        let _ = self.releases.flush();
        let _ = self.downstream.flush();
    }
}

/// Results that are written at once: a worker may be long at its next command.
struct AtOnce<'a>(&'a Shared);

impl Output for AtOnce<'_> {
    fn send(&self, work: Work) -> Result<(), Failure> {
        self.0.queue(work)?;
        self.0.downstream.flush()
    }

    fn tell(&self, message: Message) -> Result<(), Failure> {
        self.0.downstream.send(&message)
    }
}

/// Results that are written together, when all that has come in is handled.
struct Together<'a>(&'a Shared);

impl Output for Together<'_> {
    fn send(&self, work: Work) -> Result<(), Failure> {
        self.0.queue(work)
    }

    fn tell(&self, message: Message) -> Result<(), Failure> {
        self.0.downstream.queue(&message).map(drop)
    }
}

/// Work for the crew.
enum Job {
    Work(Work),
    Message(Message),
}

/// The agent at work: the handler, and the threads that call it.
struct Crew<A> {
    agent: Arc<A>,
    jobs: Option<channel::Sender<Job>>,
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
                    self.flush()?;
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
            (Message::Table(line), Some(fd)) => {
                match self.crew()?.agent.table(Table::attach(line, fd)?)? {
                    Some(table) => self.announce(&table),
                    None => Ok(()),
                }
            }
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
        for pool in &made.pools {
            self.shared.downstream.send_with_fd(&Message::Pool(pool.line().clone()), pool.object())?;
        }
        self.shared.own_pools.write().unwrap_or_else(PoisonError::into_inner).extend(made.pools);
        self.shared.own_tables.write().unwrap_or_else(PoisonError::into_inner).extend(made.tables);
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

    fn dispatch(&self, job: Job) -> Result<(), Failure> {
        let crew = self.crew()?;
        match &crew.jobs {
            Some(jobs) => jobs.send(job).map_err(|_| Failure::protocol("the workers have gone")),
            None => self.gauge.at_work(|| handle(&*crew.agent, job, &Together(&self.shared))),
        }
    }

    fn flush(&self) -> Result<(), Failure> {
        self.shared.downstream.flush()?;
        self.shared.releases.flush()
    }

    fn end(&mut self) -> Result<(), Failure> {
        if let Some(mut crew) = self.crew.take() {
            crew.jobs = None;
            for worker in crew.workers.drain(..) {
                worker.join().map_err(|_| Failure::protocol("a worker panicked"))?;
            }
            self.gauge.at_work(|| crew.agent.end(&AtOnce(&self.shared)))?;
            Event::Status(self.shared.status()).emit();
        }
        self.shared.downstream.queue(&Message::End)?;
        self.flush()
    }
}

impl<A: Agent> Crew<A> {
    fn start(agent: Arc<A>, shared: &Arc<Shared>) -> Result<Self, Failure> {
        let count = agent.workers();
        let mut workers = Vec::new();
        // A rendezvous and one to spare: what waits for a worker waits in the socket, where the
        // agent before it sees it.
        let (jobs, queue) = channel::bounded::<Job>(1);
        for _ in 0..count {
            let gauge = shared.gauge();
            let (agent, shared, queue) = (Arc::clone(&agent), Arc::clone(shared), queue.clone());
            workers.push(spawn("worker", move || work(&*agent, &shared, &queue, &gauge))?);
        }
        Ok(Self { agent, jobs: (count > 0).then_some(jobs), workers })
    }
}

fn work<A: Agent>(agent: &A, shared: &Arc<Shared>, queue: &channel::Receiver<Job>, gauge: &Arc<Gauge>) {
    gauge.adopt(Arc::clone(shared) as Arc<dyn BeforeWait>);
    while let Ok(job) = queue.recv() {
        let done = gauge.at_work(|| handle(agent, job, &AtOnce(shared))).and_then(|()| shared.releases.flush());
        if let Err(failure) = done {
            shared.fail(failure);
        }
    }
}

fn handle<A: Agent>(agent: &A, job: Job, output: &dyn Output) -> Result<(), Failure> {
    match job {
        Job::Work(work) => agent.handle(work, output),
        Job::Message(message) => agent.message(message, output),
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

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Failure> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|error| Failure::protocol(error).doing("starting a thread"))
}

/// A panic is a defect of ours: it is told like any failure, and ends the process at once.
fn report_panics(kind: AgentKind) {
    std::panic::set_hook(Box::new(move |panic| {
        let mut failure = Failure::protocol(format!("a defect in Septet, please report it: {panic}"));
        failure.agent = Some(kind);
        Event::Failed(failure).emit();
        std::process::exit(101);
    }));
}
