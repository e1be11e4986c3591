//! The framework: the threads of an agent, and how messages, slots and failures pass through it.
//!
//! The workers take turns at reading commands from upstream, and handle what they read. One thread reads releases from
//! downstream, so a full socket in one direction never blocks the other. One thread reports to the supervisor that the
//! agent is alive. `end` is a barrier: it is passed on when all earlier commands are done. Before the job is known
//! there is only one thread. It locks the process in, either at once or as soon as it knows what the job needs. The
//! agents of the ring begin one after another, so their start times add up. Therefore everything that does not need the
//! job is done before the job arrives.

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;

use septet_sandbox::Needs;

use super::crew::Crew;
use super::lock_in::lock_in;
use super::process::{STATUS_INTERVAL, run_process, spawn};
use super::shared::{Shared, went_away};
use super::{Agent, Context};
use crate::message::Begin;
use crate::message::Event;
use crate::message::Failure;
use crate::message::Message;
use crate::message::{Receiver, Sender};

/// Runs the agent `A` between standard input (the upstream socket) and standard output (the downstream socket) until
/// `end`.
pub fn run<A: Agent>() -> ExitCode {
    run_process(A::KIND, run_between::<A>)
}

fn run_between<A: Agent>(upstream: OwnedFd, downstream: OwnedFd) -> Result<(), Failure> {
    let releases_from = Receiver::new(downstream.try_clone().map_err(Failure::protocol)?);
    let releases_to = upstream.try_clone().map_err(Failure::protocol)?;
    let shared = Shared::new(A::KIND, Sender::new(downstream), Sender::new(releases_to));
    run_until_end::<A>(&shared, Receiver::new(upstream), releases_from)
        .inspect_err(|failure| shared.send_error(failure))
}

fn run_until_end<A: Agent>(
    shared: &Arc<Shared>,
    mut upstream: Receiver,
    releases_from: Receiver,
) -> Result<(), Failure> {
    let gauge = shared.gauge();
    shared.intake.get_or_init(|| upstream.intake());
    let context = Context::provided(A::KIND, A::SHARED_OBJECTS, &gauge);
    if A::NEEDS_NOTHING {
        lock_in(&Needs::nothing())?;
    }
    let begin = wait_for_begin(shared, &mut upstream)?;
    if !A::NEEDS_NOTHING {
        lock_in(&A::needs(&begin))?;
    }
    spawn_releases(shared, releases_from)?;
    spawn_status(shared)?;
    let agent = gauge.at_work(|| start::<A>(shared, begin, context))?;
    let crew = Crew::start(agent, shared, upstream)?;
    crew.run(&gauge)?;
    Event::Status(shared.status()).emit();
    shared.downstream.queue(&Message::End)?;
    shared.flush_both()
}

/// Waits for the job, which only announcements of earlier agents can precede. This agent reports that it is alive while
/// an earlier one opens a slow disk.
fn wait_for_begin(shared: &Shared, upstream: &mut Receiver) -> Result<Box<Begin>, Failure> {
    Event::Status(shared.status()).emit();
    loop {
        while !upstream.is_ready_within(STATUS_INTERVAL)? {
            Event::Status(shared.status()).emit();
        }
        let (message, fd) = upstream.receive()?.ok_or_else(went_away)?;
        match message {
            Message::Begin(begin) => return begin.check().map(|()| begin),
            Message::Pool(_) | Message::Error(_) => shared.pass(message, fd)?,
            Message::End => return Err(Failure::protocol("`end` came before `begin`")),
            Message::Release(_) => return Err(Failure::protocol("a release was received from upstream")),
            _ => return Err(Failure::protocol("a command came before `begin`")),
        }
    }
}

/// Starts the agent, and announces to the next agents what it created and found out.
fn start<A: Agent>(shared: &Shared, mut begin: Box<Begin>, context: Context) -> Result<A, Failure> {
    let agent = A::begin(&mut begin, &context)?;
    let made = context.into_made();
    // Register the pools before they are announced: from then on a release may name them.
    shared.own(&made);
    for pool in &made.pools {
        shared.downstream.send_with_fd(&Message::Pool(pool.line().clone()), pool.object())?;
    }
    // The master sends no command before `begin` has come back, so every agent has read these tables before it must
    // answer.
    for table in made.announced {
        shared.announce(&table)?;
    }
    shared.downstream.send(&Message::Begin(begin))?;
    Ok(agent)
}

/// Reads messages from downstream until the socket closes.
fn spawn_releases(shared: &Arc<Shared>, mut downstream: Receiver) -> Result<(), Failure> {
    let shared = Arc::clone(shared);
    spawn("releases", move || {
        let mut pass = || -> Result<(), Failure> {
            while let Some((message, _)) = downstream.receive_or(|| shared.releases.flush().map(|()| None))? {
                let Message::Release(ids) = message else {
                    return Err(Failure::protocol("a message other than a release was received from downstream"));
                };
                shared.release(&ids)?;
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
            // A store may drop a slot in its own thread, after the handler has returned.
            let _ = shared.releases.flush();
        }
    })
    .map(drop)
}
