//! The worker that runs a handler. The handler reaches the framework through it.

use std::sync::{Arc, Mutex, PoisonError};

use super::Work;
use super::gauge::Gauge;
use crate::message::{Failure, Message};
use crate::shm::{NewSlot, Pool};

/// The worker that runs a handler. It takes the results, and measures whether the handler computes, waits or is stuck.
#[derive(Clone, Copy)]
pub struct Worker<'a> {
    output: &'a dyn Output,
    /// None if nobody reads the times: in tests and in the simulation.
    gauge: Option<&'a Gauge>,
}

impl<'a> Worker<'a> {
    /// A worker whose time is not measured.
    pub fn unmeasured(output: &'a dyn Output) -> Self {
        Self { output, gauge: None }
    }

    pub(super) fn new(output: &'a dyn Output, gauge: &'a Gauge) -> Self {
        Self { output, gauge: Some(gauge) }
    }

    /// Sends an extent to the next agent, which from then on must release its slot.
    ///
    /// # Errors
    /// The next agent has ended.
    pub fn send(&self, work: Work) -> Result<(), Failure> {
        self.output.send(work)
    }

    /// Sends any other message to the next agent.
    ///
    /// # Errors
    /// The next agent has ended.
    pub fn tell(&self, message: Message) -> Result<(), Failure> {
        self.output.tell(message)
    }

    /// Takes a slot of at least `bytes`. If the handler must wait for one, the results so far are written first. The
    /// wait counts neither as work nor as stuck: it ends when other agents release a slot.
    ///
    /// # Errors
    /// `bytes` is more than the whole pool.
    pub fn take(&self, pool: &Arc<Pool>, bytes: usize) -> Result<NewSlot, Failure> {
        if let Some(slot) = pool.try_take(bytes)? {
            return Ok(slot);
        }
        let wait = || {
            self.output.flush();
            pool.take(bytes)
        };
        match self.gauge {
            Some(gauge) => gauge.waiting_for_slot(wait),
            None => wait(),
        }
    }

    /// Runs a request to the volume or the store. Its time counts as I/O and not as work. A request that hangs still
    /// counts as stuck.
    pub fn outside<T>(&self, request: impl FnOnce() -> T) -> T {
        match self.gauge {
            Some(gauge) => gauge.outside(request),
            None => request(),
        }
    }

    /// Reports that a long command makes progress. A worker that keeps calling this is not stuck.
    pub fn step(&self) {
        if let Some(gauge) = self.gauge {
            gauge.step();
        }
    }

    /// Writes what was sent so far. For a handler that has sent some of its results and will now be blocked for long.
    pub fn flush(&self) {
        self.output.flush();
    }

    /// Lets another worker read on, because a request may block this one. Only needed by a handler whose
    /// [`Weight`](super::Weight) says that it just computes.
    pub fn step_aside(&self) {
        self.output.step_aside();
    }
}

/// Where the results of handlers go.
pub trait Output: Sync {
    /// Sends an extent to the next agent, which from then on must release its slot.
    ///
    /// # Errors
    /// The next agent has ended.
    fn send(&self, work: Work) -> Result<(), Failure>;

    /// Sends any other message to the next agent.
    ///
    /// # Errors
    /// The next agent has ended.
    fn tell(&self, message: Message) -> Result<(), Failure>;

    /// Writes what was sent so far and is still queued.
    fn flush(&self) {}

    /// Lets another worker read, if there is one.
    fn step_aside(&self) {}
}

/// What an agent passes on, as tests and the simulation collect it.
#[derive(Debug)]
pub enum Item {
    /// An extent.
    Work(Work),
    /// Any other message.
    Message(Message),
}

impl Output for Mutex<Vec<Item>> {
    fn send(&self, work: Work) -> Result<(), Failure> {
        self.lock().unwrap_or_else(PoisonError::into_inner).push(Item::Work(work));
        Ok(())
    }

    fn tell(&self, message: Message) -> Result<(), Failure> {
        self.lock().unwrap_or_else(PoisonError::into_inner).push(Item::Message(message));
        Ok(())
    }
}
