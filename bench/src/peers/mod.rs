//! Compares Septet with other tools: full backups, incrementals and restores, by turns, on the same volumes.
//!
//! A tool that is not installed, or that fails, is reported with the reason, and the others continue. A round does not
//! begin if it would end after the time limit.

mod known;
mod measured;
mod peer;
mod report;
mod verdict;

use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::args::{Image, Peers};
use crate::data::{Kind, Volume};
use crate::home::Home;
use crate::machine::Machine;
use crate::process;
use crate::rbd;
use crate::roofline::Roofline;
use crate::rounds::Rows;
use crate::seaweed::Seaweed;
use crate::stored::Lz4Size;
use crate::tool::{SEPTET, SEPTET_S3, Septet, Tool};
use crate::workspace;
use measured::{Absent, Measured};
use peer::{Foreign, Peer};
pub(crate) use report::PeersReport;

/// The kind of volume for measurements with S3.
const S3_KIND: Kind = Kind::Debian;

/// Measures all installed tools.
///
/// # Errors
/// There is too little space, or Septet itself fails.
pub(crate) fn measure(args: &Peers, septet: &Path) -> anyhow::Result<PeersReport> {
    let started = Instant::now();
    let volumes = args.volumes.prepare()?;
    let work = args.volumes.dir.join("work-peers");
    workspace::make_room(&work, 6 * args.volumes.size.0)?;
    let mut course = Course {
        septet,
        work: &work,
        seaweed: None,
        buckets: 0,
        present: Vec::new(),
        measured: Measured {
            machine: Machine::here(&args.volumes.dir),
            volume_bytes: args.volumes.size,
            rounds: 0,
            versions: Vec::new(),
            absent: Vec::new(),
            rows: Rows::default(),
            rooflines: Vec::new(),
            lz4: Vec::new(),
            rbd: None,
        },
    };
    course.call(&args.only);
    course.start_server(args.no_s3);
    course.measured.lz4 = volumes.iter().map(Lz4Size::measure).collect::<Result<_, _>>()?;
    course.run(&volumes, args.rounds, started + Duration::from_secs(60 * args.minutes))?;
    workspace::remove(&work)?;
    course.rbd(args)?;
    Ok(PeersReport::of(course.measured))
}

struct Course<'a> {
    septet: &'a Path,
    work: &'a Path,
    seaweed: Option<Rc<Seaweed>>,
    buckets: u32,
    present: Vec<Rc<dyn Peer>>,
    measured: Measured,
}

impl Course<'_> {
    /// Finds the installed tools.
    fn call(&mut self, only: &[String]) {
        for peer in known::all() {
            let (tool, _) = peer.names();
            if !only.is_empty() && !only.iter().any(|name| tool.starts_with(name.as_str())) {
                self.leave_out(tool, "not asked for (--only)".to_owned());
                continue;
            }
            match process::run(&mut peer.version(), false) {
                Ok(ran) => {
                    let line = ran.stdout.lines().next().unwrap_or_default().to_owned();
                    self.measured.versions.push((tool, line));
                    self.present.push(peer);
                }
                Err(error) => {
                    let why = format!("{error:#}");
                    let line = why.lines().next().unwrap_or_default();
                    self.leave_out(tool, format!("not installed (bench/peers/install): {line}"));
                }
            }
        }
    }

    fn start_server(&mut self, unwanted: bool) {
        let there = Seaweed::program().exists();
        if unwanted || !there {
            let why = if unwanted { "not asked for (--no-s3)" } else { "SeaweedFS is not installed (tests/setup)" };
            self.leave_out(SEPTET_S3, format!("{why}, and so nobody is measured on S3"));
            return;
        }
        match Seaweed::start(&self.work.join("seaweed")) {
            Ok(server) => self.seaweed = Some(Rc::new(server)),
            Err(error) => self.leave_out(SEPTET_S3, format!("{error:#}")),
        }
    }

    fn leave_out(&mut self, tool: &'static str, why: String) {
        eprintln!("without {tool}: {why}");
        self.measured.absent.push(Absent { tool, why });
    }

    /// `rbd export` and `rbd export | lz4`, if there is a cluster.
    fn rbd(&mut self, args: &Peers) -> anyhow::Result<()> {
        let Some(conf) = args.conf.clone() else {
            self.leave_out(
                "rbd export | lz4",
                "no Ceph cluster was given (--conf; tests/ceph up DIR makes one)".to_owned(),
            );
            return Ok(());
        };
        let (dir, size, seed) = (args.volumes.dir.clone(), args.volumes.size, args.volumes.seed);
        let image = Image { conf, pool: "rbd".to_owned(), dir, size, rounds: self.measured.rounds, seed };
        self.measured.rbd = Some(rbd::measure(&image, self.septet)?);
        Ok(())
    }

    /// Runs rounds until the time limit, but at least one.
    fn run(&mut self, volumes: &[Volume], rounds: u32, until: Instant) -> anyhow::Result<()> {
        for round in 0..rounds {
            let begun = Instant::now();
            for volume in volumes {
                self.round(round, volume)?;
            }
            self.measured.rounds = round + 1;
            let next = Instant::now() + begun.elapsed();
            if next > until && round + 1 < rounds {
                eprintln!("no time for another round (--minutes)");
                break;
            }
        }
        Ok(())
    }

    /// One round of all tools on one volume.
    fn round(&mut self, round: u32, volume: &Volume) -> anyhow::Result<()> {
        self.limits(volume)?;
        self.measured.rows.measure_bare(round, volume)?;
        let servers = if volume.kind == S3_KIND { vec![None, self.seaweed.clone()] } else { vec![None] };
        for (server, in_bucket) in servers.into_iter().zip([false, true]) {
            if in_bucket && server.is_none() {
                continue;
            }
            self.septet_turn(round, volume, server.as_ref())?;
            for peer in self.present.clone() {
                let (directory, bucket) = peer.names();
                let Some(name) = (if in_bucket { bucket } else { Some(directory) }) else { continue };
                self.turn(round, volume, &peer, name, server.as_ref());
            }
        }
        Ok(())
    }

    /// The machine's limits with this volume: the best of all rounds.
    fn limits(&mut self, volume: &Volume) -> anyhow::Result<()> {
        let now = Roofline::measure(volume, self.work)?;
        match self.measured.rooflines.iter_mut().find(|known| known.kind == volume.kind) {
            Some(known) => *known = known.best(now),
            None => self.measured.rooflines.push(now),
        }
        Ok(())
    }

    fn septet_turn(&mut self, round: u32, volume: &Volume, server: Option<&Rc<Seaweed>>) -> anyhow::Result<()> {
        let name = if server.is_some() { SEPTET_S3 } else { SEPTET };
        eprintln!("round {}: {}: {name}", round + 1, volume.kind);
        let (binary, bucket) = (self.septet, self.bucket(server));
        let make = |dir: &Path| -> anyhow::Result<Box<dyn Tool>> {
            Ok(Box::new(Septet::new(binary, Home::make(dir, bucket.clone())?, true)))
        };
        self.measured.rows.measure_tool(round, volume, &make, self.work).with_context(|| name.to_owned())
    }

    fn turn(
        &mut self,
        round: u32,
        volume: &Volume,
        peer: &Rc<dyn Peer>,
        name: &'static str,
        server: Option<&Rc<Seaweed>>,
    ) {
        if self.measured.absent.iter().any(|absent| absent.tool == name) {
            return;
        }
        eprintln!("round {}: {}: {name}", round + 1, volume.kind);
        let bucket = self.bucket(server);
        let make = |dir: &Path| -> anyhow::Result<Box<dyn Tool>> {
            Ok(Box::new(Foreign::new(Rc::clone(peer), Home::make(dir, bucket.clone())?)?))
        };
        if let Err(error) = self.measured.rows.measure_tool(round, volume, &make, self.work) {
            self.leave_out(name, format!("it failed on {}: {error:#}", volume.kind));
        }
    }

    /// A bucket that was not used before.
    fn bucket(&mut self, server: Option<&Rc<Seaweed>>) -> Option<(Rc<Seaweed>, String)> {
        self.buckets += 1;
        server.map(|seaweed| (Rc::clone(seaweed), format!("bench-{}", self.buckets)))
    }
}
