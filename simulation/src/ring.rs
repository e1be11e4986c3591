//! A ring of agents whose handlers run one at a time, in an order that a seed determines.

use std::sync::Mutex;

use fastrand::Rng;
use septet_agent_backupreader::Backupreader;
use septet_agent_checksum::Checksum;
use septet_agent_compressor::Compressor;
use septet_agent_datawriter::Datawriter;
use septet_agent_decompressor::Decompressor;
use septet_agent_diff::Diff;
use septet_agent_master::{Plan, Step, plan};
use septet_agent_metawriter::Metawriter;
use septet_agent_reader::Reader;
use septet_agent_s3worker::S3worker;
use septet_agent_volumewriter::Volumewriter;
use septet_engine::pipeline;
use septet_ipc::message::{Damage, Progress};
use septet_ipc::shm::Table;
use septet_ipc::{Agent, AgentKind, Begin, Context, Failure, Item, Message, Work, Worker};

/// The run failed.
#[derive(Debug)]
pub struct Stopped(pub Failure);

/// An agent of any kind.
trait Stage {
    fn take(&self, item: Item, output: &Mutex<Vec<Item>>) -> Result<(), Failure>;
    fn table(&self, table: Table) -> Result<Option<Table>, Failure>;
    fn end(&self, output: &Mutex<Vec<Item>>) -> Result<(), Failure>;
}

impl<A: Agent> Stage for A {
    fn take(&self, item: Item, output: &Mutex<Vec<Item>>) -> Result<(), Failure> {
        let worker = Worker::unmeasured(output);
        match item {
            Item::Work(work) => self.handle(work, &worker),
            Item::Message(Message::Command(command)) => self.handle(Work { command: *command, slot: None }, &worker),
            Item::Message(message) => self.message(message, &worker),
        }
    }

    fn table(&self, table: Table) -> Result<Option<Table>, Failure> {
        Agent::table(self, table)
    }

    fn end(&self, output: &Mutex<Vec<Item>>) -> Result<(), Failure> {
        Agent::end(self, &Worker::unmeasured(output))
    }
}

/// A ring that is ready to run.
pub struct Ring {
    plan: Box<dyn Plan>,
    stages: Vec<Box<dyn Stage>>,
    /// The items that each stage has not handled yet.
    waiting: Vec<Vec<Item>>,
    damage: Vec<Damage>,
    rng: Rng,
}

impl Ring {
    /// Starts the agents of the job, in the order of the ring.
    ///
    /// # Errors
    /// The failure that ends the run before it starts.
    pub fn start(mut begin: Begin, rng: Rng) -> Result<Self, Stopped> {
        let mut stages: Vec<Box<dyn Stage>> = Vec::new();
        let mut tables = Vec::new();
        for kind in pipeline(&begin) {
            if let Some((stage, announced)) = begun(*kind, &mut begin).map_err(Stopped)? {
                stages.push(stage);
                tables.extend(announced);
            }
        }
        for table in tables {
            send_round(table, &stages).map_err(Stopped)?;
        }
        let waiting = stages.iter().map(|_| Vec::new()).collect();
        Ok(Self { plan: plan(&begin).map_err(Stopped)?, stages, waiting, damage: Vec::new(), rng })
    }

    /// Runs to the end. Returns the final progress and the damage that was found.
    ///
    /// # Errors
    /// The first failure of an agent.
    pub fn run(mut self) -> Result<(Progress, Vec<Damage>), Stopped> {
        let step = self.plan.start().map_err(Stopped)?;
        self.hand_out(step);
        while let Some(stage) = self.any_busy() {
            self.step(stage)?;
        }
        assert!(self.plan.is_done(), "nobody has anything to do, and the plan is not done");
        for stage in 0..self.stages.len() {
            let output = Mutex::default();
            self.stages[stage].end(&output).map_err(Stopped)?;
            self.pass(stage, output)?;
            while let Some(busy) = self.any_busy() {
                self.step(busy)?;
            }
        }
        Ok((self.plan.progress().clone(), self.damage))
    }

    /// Lets a stage handle a random one of its waiting items.
    fn step(&mut self, stage: usize) -> Result<(), Stopped> {
        let any = self.rng.usize(..self.waiting[stage].len());
        let item = self.waiting[stage].swap_remove(any);
        let output = Mutex::default();
        self.stages[stage].take(item, &output).map_err(Stopped)?;
        self.pass(stage, output)
    }

    /// A random stage that has waiting items.
    fn any_busy(&mut self) -> Option<usize> {
        let busy: Vec<usize> = (0..self.waiting.len()).filter(|&stage| !self.waiting[stage].is_empty()).collect();
        (!busy.is_empty()).then(|| busy[self.rng.usize(..busy.len())])
    }

    /// Passes a stage's results to the next stage, or to the master.
    fn pass(&mut self, stage: usize, output: Mutex<Vec<Item>>) -> Result<(), Stopped> {
        let results = output.into_inner().expect("no handler panicked");
        if let Some(next) = self.waiting.get_mut(stage + 1) {
            next.extend(results);
            return Ok(());
        }
        for item in results {
            let message = match item {
                Item::Work(work) => Message::Command(Box::new(work.command)),
                Item::Message(message) => message,
            };
            let step = self.plan.on(message).map_err(Stopped)?;
            self.hand_out(step);
        }
        Ok(())
    }

    fn hand_out(&mut self, step: Step) {
        self.damage.extend(step.damage);
        self.waiting[0].extend(step.commands.into_iter().map(Item::Message));
    }
}

/// A started agent, and the tables that it announced.
type Begun = (Box<dyn Stage>, Vec<Table>);

/// Starts an agent. Returns `None` for the master, where the ring begins and ends.
fn begun(kind: AgentKind, begin: &mut Begin) -> Result<Option<Begun>, Failure> {
    match kind {
        AgentKind::Master => Ok(None),
        AgentKind::Reader => begun_as::<Reader>(begin).map(Some),
        AgentKind::Checksum => begun_as::<Checksum>(begin).map(Some),
        AgentKind::Diff => begun_as::<Diff>(begin).map(Some),
        AgentKind::Compressor => begun_as::<Compressor>(begin).map(Some),
        AgentKind::Datawriter => begun_as::<Datawriter>(begin).map(Some),
        AgentKind::Metawriter => begun_as::<Metawriter>(begin).map(Some),
        AgentKind::Backupreader => begun_as::<Backupreader>(begin).map(Some),
        AgentKind::Decompressor => begun_as::<Decompressor>(begin).map(Some),
        AgentKind::Volumewriter => begun_as::<Volumewriter>(begin).map(Some),
        AgentKind::S3worker => begun_as::<S3worker>(begin).map(Some),
    }
}

fn begun_as<A: Agent>(begin: &mut Begin) -> Result<Begun, Failure> {
    let context = Context::new(A::KIND);
    let agent = A::begin(begin, &context)?;
    let copy = |table: &Table| {
        let object = table.object().try_clone_to_owned().map_err(Failure::shared_memory)?;
        Table::attach(table.line().clone(), object)
    };
    let tables = context.announced().iter().map(|table| copy(table)).collect::<Result<_, _>>()?;
    Ok((Box::new(agent), tables))
}

/// Passes a table round the ring until an agent keeps it.
fn send_round(table: Table, stages: &[Box<dyn Stage>]) -> Result<(), Failure> {
    let mut table = Some(table);
    for stage in stages {
        let Some(passed) = table else { return Ok(()) };
        table = stage.table(passed)?;
    }
    Ok(())
}
