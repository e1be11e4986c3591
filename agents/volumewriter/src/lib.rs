//! `septet-volumewriter` is the only agent that opens the target volume of a restore, and writes it.
//!
//! Blocks come in any order, and each byte comes once. Data is written. Holes and zeros are made to read as zeros. A
//! restore of a part is clipped here to the exact bytes. The kind of volume is a type parameter, as it is for the
//! reader.

use std::marker::PhantomData;
use std::ops::Range;
use std::path::Path;

use septet_ipc::{Agent, AgentKind, Begin, Context, Failure, Needs, RestoreJob, State, Work, Worker};
use septet_volume::{FileTarget, Target, TargetOptions};

/// Zeros are requested in pieces of this size, so that a device that must write them shows progress.
const ZERO_BYTES_MAX: u64 = 256 << 20;

/// How a volume is opened for writing.
pub trait OpenTarget: Send + Sync + 'static {
    /// Opens what `job.target` names.
    ///
    /// # Errors
    /// The volume is too small, in use or not writable, or it exists and may not be overwritten.
    fn open(job: &RestoreJob) -> Result<Box<dyn Target>, Failure>;

    /// The rights that are needed to open and write the target.
    fn needs(job: &RestoreJob) -> Needs;
}

/// Files and block devices, by path.
pub struct Files;

impl OpenTarget for Files {
    fn open(job: &RestoreJob) -> Result<Box<dyn Target>, Failure> {
        let options = TargetOptions { volume_bytes: job.volume_bytes, overwrite: job.overwrite };
        Ok(Box::new(FileTarget::open(Path::new(&job.target), &options).map_err(Failure::volume)?))
    }

    /// An existing target is written in place. A new one is created under another name in the same directory.
    fn needs(job: &RestoreJob) -> Needs {
        let target = Path::new(&job.target);
        let place = if target.exists() { Some(target) } else { target.parent() };
        let volume = place.map_or(Needs::nothing(), |place| Needs::nothing().write(place));
        septet_volume::USER_FILES.into_iter().fold(volume.read(septet_volume::DEVICE_FILES), Needs::read)
    }
}

/// The agent: the open target, and the part of it that is restored.
pub struct Volumewriter<O = Files> {
    target: Box<dyn Target>,
    part: Range<u64>,
    /// Whether the target reads as zeros where nothing is written.
    zeroed: bool,
    streams: usize,
    opened_by: PhantomData<O>,
}

impl<O: OpenTarget> Agent for Volumewriter<O> {
    const KIND: AgentKind = AgentKind::Volumewriter;

    fn needs(begin: &Begin) -> Needs {
        if let Begin::Restore(job) = begin { O::needs(job) } else { Needs::nothing() }
    }

    fn begin(begin: &mut Begin, _: &Context) -> Result<Self, Failure> {
        let Begin::Restore(job) = begin else {
            return Err(Failure::protocol("volumewriter runs only in a restore"));
        };
        let end = job.offset_bytes.checked_add(job.length_bytes).filter(|&end| end <= job.volume_bytes);
        let end = end.ok_or_else(|| Failure::protocol("the command goes beyond the volume's end"))?;
        let target = O::open(job)?;
        let streams = job.streams.clamp(1, 64) as usize;
        Ok(Self { target, part: job.offset_bytes..end, zeroed: job.zeroed, streams, opened_by: PhantomData })
    }

    fn workers(&self) -> usize {
        self.streams
    }

    fn handle(&self, mut work: Work, worker: &Worker<'_>) -> Result<(), Failure> {
        match work.command.state {
            State::Hole | State::Zero if self.zeroed => {}
            State::Hole | State::Zero => self.zero(&work, worker)?,
            State::Data if work.slot.is_some() => self.write(&work, worker)?,
            State::Present => self.reserve(&work, worker),
            _ => {}
        }
        // The slot is released before the master hears of the command, so no slot is in use when the run ends.
        work.slot = None;
        worker.send(work)
    }

    fn end(&self, worker: &Worker<'_>) -> Result<(), Failure> {
        worker.outside(|| self.target.finish()).map_err(Failure::volume)
    }
}

impl<O: OpenTarget> Volumewriter<O> {
    /// The part of the extent that is to be restored.
    fn clip(&self, work: &Work) -> Range<u64> {
        let start = work.command.offset.clamp(self.part.start, self.part.end);
        start..work.command.end().clamp(start, self.part.end)
    }

    /// Reserves space for an extent whose blocks will come one by one.
    fn reserve(&self, work: &Work, worker: &Worker<'_>) {
        let range = self.clip(work);
        worker.outside(|| self.target.reserve(range.start, range.end - range.start));
    }

    fn write(&self, work: &Work, worker: &Worker<'_>) -> Result<(), Failure> {
        let range = self.clip(work);
        let Some(bytes) = work.bytes().filter(|_| !range.is_empty()) else { return Ok(()) };
        let from = usize::try_from(range.start - work.command.offset).map_err(Failure::protocol)?;
        let len = usize::try_from(range.end - range.start).map_err(Failure::protocol)?;
        let part = from.checked_add(len).and_then(|to| bytes.get(from..to));
        let part = part.ok_or_else(|| Failure::protocol("the slot is shorter than the block that it should hold"))?;
        worker.outside(|| self.target.write_at(range.start, part)).map_err(Failure::volume)
    }

    fn zero(&self, work: &Work, worker: &Worker<'_>) -> Result<(), Failure> {
        let Range { mut start, end } = self.clip(work);
        while start < end {
            let size = (end - start).min(ZERO_BYTES_MAX);
            worker.outside(|| self.target.zero(start, size)).map_err(Failure::volume)?;
            start += size;
            worker.step();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
