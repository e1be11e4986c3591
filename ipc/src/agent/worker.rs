//! What a handler is given: the worker that runs it, through which it reaches the framework.

use std::sync::{Arc, Mutex, PoisonError};

use super::Work;
use super::gauge::Gauge;
use crate::message::{Failure, Message};
use crate::shm::{NewSlot, Pool};

/// The worker that runs a handler: takes its results, and knows whether it computes, waits or is stuck.
#[derive(Clone, Copy)]
pub struct Worker<'a> {
    output: &'a dyn Output,
    /// None where nobody looks at it: in tests, and in the simulation.
    gauge: Option<&'a Gauge>,
}

impl<'a> Worker<'a> {
    /// A worker whose time nobody measures.
    pub fn unmeasured(output: &'a dyn Output) -> Self {
        Self { output, gauge: None }
    }

    pub(super) fn new(output: &'a dyn Output, gauge: &'a Gauge) -> Self {
        Self { output, gauge: Some(gauge) }
    }

    /// Sends an extent, and the responsibility for its slot, to the next agent.
    ///
    /// # Errors
    /// When the next agent has gone.
    pub fn send(&self, work: Work) -> Result<(), Failure> {
        self.output.send(work)
    }

    /// Sends any other message to the next agent.
    ///
    /// # Errors
    /// When the next agent has gone.
    pub fn tell(&self, message: Message) -> Result<(), Failure> {
        self.output.tell(message)
    }

    /// Takes a slot of at least `bytes`. If the handler must wait for one, what it has sent is written first, and the
    /// wait counts neither as work nor as being stuck: it ends when other agents free a slot.
    ///
    /// # Errors
    /// When `bytes` is more than the whole pool.
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

    /// Runs a request to the volume or the store. The time is counted as I/O and not as work; a request that hangs
    /// still counts as stuck.
    pub fn outside<T>(&self, request: impl FnOnce() -> T) -> T {
        match self.gauge {
            Some(gauge) => gauge.outside(request),
            None => request(),
        }
    }

    /// Says that a long command makes progress: a worker that keeps calling this is not stuck.
    pub fn step(&self) {
        if let Some(gauge) = self.gauge {
            gauge.step();
        }
    }

    /// Writes what was sent so far: for a handler that has sent a part of its results and is now held up for long.
    pub fn flush(&self) {
        self.output.flush();
    }

    /// Lets another worker read on, because a request may hold this one up. Only a handler whose
    /// [`Weight`](super::Weight) says that it just computes needs this.
    pub fn step_aside(&self) {
        self.output.step_aside();
    }
}

/// Where the results of handlers go.
pub trait Output: Sync {
    /// Sends an extent, and the responsibility for its slot, to the next agent.
    ///
    /// # Errors
    /// When the next agent has gone.
    fn send(&self, work: Work) -> Result<(), Failure>;

    /// Sends any other message to the next agent.
    ///
    /// # Errors
    /// When the next agent has gone.
    fn tell(&self, message: Message) -> Result<(), Failure>;

    /// Writes what was sent so far, if it is not written yet.
    fn flush(&self) {}

    /// Lets another worker read, if there is one.
    fn step_aside(&self) {}
}

/// Something that an agent hands on: what a test or the simulation collects.
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
