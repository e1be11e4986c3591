//! The framework: the threads of an agent, and how messages, slots and failures pass through it.
//!
//! The workers take turns at reading commands from upstream, and handle what they read; one thread
//! reads releases from downstream, so that a full socket in one direction never blocks the other;
//! one tells the supervisor that the agent is alive. `end` is a barrier: it is passed on when all
//! earlier commands are done. Before the job is known there is one thread only, which locks the process in: at once, or
//! when it knows what the job needs. The ring is as slow to begin as all agents are one after another, so whatever can be
//! done before the job comes is done before.

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

/// Runs the agent `A` between the sockets that are its standard input (upstream) and output
/// (downstream), until `end`.
pub fn run<A: Agent>() -> ExitCode {
    run_process(A::KIND, run_between::<A>)
}

fn run_between<A: Agent>(upstream: OwnedFd, downstream: OwnedFd) -> Result<(), Failure> {
    let releases_from = Receiver::new(downstream.try_clone().map_err(Failure::protocol)?);
    let releases_to = upstream.try_clone().map_err(Failure::protocol)?;
    let shared = Shared::new(A::KIND, A::store_counts, Sender::new(downstream), Sender::new(releases_to));
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

/// The job, which comes first but for what earlier agents made for it. While one of those opens a slow disk, this
/// agent is alive.
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
            Message::Release(_) => return Err(Failure::protocol("a release came from upstream")),
            _ => return Err(Failure::protocol("a command came before `begin`")),
        }
    }
}

/// Lets the agent begin, and tells the next ones what it made and found out.
fn start<A: Agent>(shared: &Shared, mut begin: Box<Begin>, context: Context) -> Result<A, Failure> {
    let agent = A::begin(&mut begin, &context)?;
    let made = context.into_made();
    // Known before they are announced: from then on a release may name them.
    shared.own(&made);
    for pool in &made.pools {
        shared.downstream.send_with_fd(&Message::Pool(pool.line().clone()), pool.object())?;
    }
    // The master asks nothing before `begin` is back: so what a table says is known to whoever is asked.
    for table in made.announced {
        shared.announce(&table)?;
    }
    shared.downstream.send(&Message::Begin(begin))?;
    Ok(agent)
}

/// Reads what comes up from downstream, for as long as anything does.
fn spawn_releases(shared: &Arc<Shared>, mut downstream: Receiver) -> Result<(), Failure> {
    let shared = Arc::clone(shared);
    spawn("releases", move || {
        let mut pass = || -> Result<(), Failure> {
            while let Some((message, _)) = downstream.receive_or(|| shared.releases.flush().map(|()| None))? {
                let Message::Release(ids) = message else {
                    return Err(Failure::protocol("something else than a release came from downstream"));
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
            // A store may let go of a slot in a thread of its own, after the handler returned.
            let _ = shared.releases.flush();
        }
    })
    .map(drop)
}
