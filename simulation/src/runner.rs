//! The engine's runner on a simulated host: its agents are a [`Ring`], and its clock may be wrong.

use std::cell::RefCell;

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use septet_engine::{Observer, Report, RunError, Runner};
use septet_format::Process;
use septet_ipc::Begin;

use crate::Ring;

/// The start of simulated time. It is fixed, so that the same seed makes the same ids.
const BEGIN_SECONDS: i64 = 1_800_000_000;

/// Runs jobs in an order that a seed determines.
pub(crate) struct Simulated {
    rng: RefCell<Rng>,
    process: Process,
    now: Timestamp,
}

impl Simulated {
    /// The runner of `process`, `second` seconds after the start of simulated time, with a clock that is wrong by some
    /// hours.
    pub(crate) fn new(rng: &mut Rng, process: Process, second: u64, hours_wrong: i64) -> Self {
        let second = i64::try_from(second).expect("a small number");
        let right = Timestamp::from_second(BEGIN_SECONDS + second).expect("a time");
        let now = right + SignedDuration::from_hours(hours_wrong);
        Self { rng: RefCell::new(Rng::with_seed(rng.u64(..))), process, now }
    }
}

impl Runner for Simulated {
    fn run(&self, begin: &Begin, observer: &mut dyn Observer) -> Result<Report, RunError> {
        let rng = Rng::with_seed(self.rng.borrow_mut().u64(..));
        let ran = Ring::start(begin.clone(), rng).and_then(Ring::run);
        let (progress, damage) = ran.map_err(|stopped| RunError::Failed(stopped.0))?;
        observer.progress(&progress);
        damage.iter().for_each(|damage| observer.damage(damage));
        Ok(Report { progress, damage, ..Report::default() })
    }

    /// A simulated run leaves nothing on its host.
    fn clear_up(&self) -> usize {
        0
    }

    fn process(&self) -> Process {
        self.process.clone()
    }

    /// Small enough for a run to cost little, and large enough that no agent waits for a slot.
    fn pool_bytes_min(&self) -> u64 {
        2 << 20
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    fn random(&self) -> u32 {
        self.rng.borrow_mut().u32(..)
    }
}
