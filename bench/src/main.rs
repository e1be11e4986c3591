//! Measures the cost of Septet, compared with the bare work that no backup can avoid.
//!
//! `data` makes volumes, `bare` times the bare work on one thread, `run` compares Septet with it, `memory` uses a huge
//! volume, `rbd` an image in a Ceph cluster. README.md explains the figures. To add a tool, add a file in `tool/`. To
//! add a goal, add a line in `goals.rs`.

mod args;
mod bare;
mod binary;
mod chart;
mod compare;
mod cpu;
mod data;
mod direct;
mod extents;
mod goals;
mod home;
mod machine;
mod memory;
mod messages;
mod peers;
mod process;
mod rbd;
mod report;
mod roofline;
mod rounds;
mod s3;
mod scale;
mod seaweed;
mod split;
mod stats;
mod step;
mod stored;
mod tool;
mod units;
mod workspace;

use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;

use clap::Parser;
use serde::Serialize;

use args::{Cli, Command, Huge, Volumes};
use bare::{BareRow, Work};
use data::{Kind, Volume};
use home::Home;
use machine::Machine;
use messages::Messages;
use report::{BareReport, Report};
use rounds::Rows;
use seaweed::Seaweed;
use tool::Septet;

/// Just enough blocks for a measurable time.
const MESSAGE_BLOCKS: u32 = 20_000;

fn main() -> ExitCode {
    match measure(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("septet-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Data(volumes) => volumes.prepare().map(drop),
        Command::Bare { volumes, rounds, json } => print(&bare(&volumes, rounds)?, json),
        Command::Run { volumes, rounds, septet, json } => {
            print(&run(&volumes, rounds, &binary::septet(septet)?)?, json)
        }
        Command::S3 { latency_ms, mb_per_second, serve: true, .. } => s3::serve(s3::Link { latency_ms, mb_per_second }),
        Command::S3 { volumes, rounds, septet, latency_ms, mb_per_second, serve: _, json } => {
            let volume = Volume::prepare(Kind::Incompressible, &volumes.dir, volumes.size, volumes.seed)?;
            let link = s3::Link { latency_ms, mb_per_second };
            print(&s3::measure(&binary::septet(septet)?, &volume, &volumes.dir, link, rounds)?, json)
        }
        Command::Split { volumes, rounds, septet, json } => {
            print(&split::measure(&binary::septet(septet)?, &volumes.prepare()?, &volumes.dir, rounds)?, json)
        }
        Command::OneProcess { volume, output, at_once } => split::one_process::back_up(&volume, &output, at_once),
        Command::Rbd { rbd, septet, json } => print(&rbd::measure(&rbd, &binary::septet_with_rbd(septet)?)?, json),
        Command::Peers(args) => {
            let find = if args.conf.is_some() { binary::septet_with_rbd } else { binary::septet };
            let report = peers::measure(&args, &find(args.septet.clone())?)?;
            report.write(&args.results)?;
            print(&report, false)
        }
        Command::Scale(args) => {
            let report = scale::measure(&args, &binary::septet(args.septet.clone())?)?;
            report.write(&args.results)?;
            print(&report, false)
        }
        Command::Memory { huge, s3, septet, json } => print(&memory(&huge, s3, &binary::septet(septet)?)?, json),
    }
}

fn bare(volumes: &Volumes, rounds: u32) -> anyhow::Result<BareReport> {
    let mut rows = Vec::new();
    for volume in volumes.prepare()? {
        for round in 0..rounds {
            for work in Work::ALL {
                rows.push(BareRow { round, kind: volume.kind, work, bare: bare::measure(work, &volume.original)? });
            }
        }
    }
    Ok(BareReport { machine: Machine::here(&volumes.dir), rows })
}

fn run(volumes: &Volumes, rounds: u32, septet: &Path) -> anyhow::Result<Report> {
    let (prepared, work) = (volumes.prepare()?, volumes.dir.join("work"));
    workspace::make_room(&work, 3 * volumes.size.0)?;
    let mut rows = Rows::default();
    for round in 0..rounds {
        for volume in &prepared {
            eprintln!("round {} of {rounds}: {}", round + 1, volume.kind);
            rows.measure(
                round,
                volume,
                &[&|dir| Ok(Box::new(Septet::new(septet, Home::make(dir, None)?, false)))],
                &work,
            )?;
        }
    }
    let messages = Messages::measure(MESSAGE_BLOCKS)?;
    Ok(Report::of(rows, messages, &volumes.kinds, Machine::here(&volumes.dir), volumes.size))
}

fn memory(huge: &Huge, s3: bool, septet: &Path) -> anyhow::Result<memory::MemoryReport> {
    let repository = huge.dir.join("huge-repository");
    let server = || Seaweed::start(&huge.dir.join("huge-seaweed"));
    let bucket = s3.then(server).transpose()?.map(|server| (Rc::new(server), "huge".to_owned()));
    let report = memory::measure(&mut Septet::new(septet, Home::make(&repository, bucket)?, true), huge)?;
    workspace::remove(&repository)?;
    Ok(report)
}

fn print(report: &(impl Serialize + std::fmt::Display), json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(report)?)
    } else {
        print!("{report}")
    }
    Ok(())
}
