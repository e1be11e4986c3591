//! The commands, one in each file. A command turns its arguments into a request to the engine and prints the
//! result.

mod backup;
mod clean;
mod convert;
mod delete;
mod export_diff;
mod import_diff;
mod list;
mod made;
mod metadata;
mod rebuild;
mod restore;
mod show;
mod smoke;
mod verify;

use std::process::ExitCode;

use septet_engine::{Interrupt, Sandboxing, Settings, Supervisor};

use crate::agents;
use crate::args::{Arguments, Command, Global};
use crate::error::{Outcome, exit_status};
use crate::report::failed;
use crate::signals;

/// Runs the command of the command line.
pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let Arguments { command, global } = arguments;
    let json = speaks_json(&command);
    let result = match command {
        Command::Agent { agent } => return agents::run(agent),
        Command::Backup(args) => caught(&global, |runner| backup::run(&args, &global, runner)),
        Command::Restore(args) => caught(&global, |runner| restore::run(&args, &global, runner)),
        Command::Delete(args) => caught(&global, |runner| delete::run(&args, &global, runner)),
        // Each of its deletions is atomic: a signal may end it at any time.
        Command::Clean(args) => clean::run(&args, &global),
        Command::Verify(args) => caught(&global, |runner| verify::run(&args, &global, runner)),
        Command::List(args) => list::run(&args),
        Command::Show(args) => show::run(&args),
        // Its one write is atomic: a signal may end it at any time.
        Command::Rebuild(args) => rebuild::run(&args),
        Command::ExportDiff(args) => export_diff::run(&args),
        Command::ImportDiff(args) => caught(&global, |runner| import_diff::run(&args, &global, runner)),
        Command::Smoke(args) => caught(&global, |runner| smoke::run(&args, &global, runner)),
    };
    match result {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            failed(json, &error);
            ExitCode::from(exit_status(&error))
        }
    }
}

/// Runs a command with signals caught, so that it can clean up before it ends.
fn caught(global: &Global, command: impl FnOnce(&Supervisor) -> anyhow::Result<Outcome>) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::default();
    signals::catch(&interrupt)?;
    if global.until_eof {
        signals::catch_eof(&interrupt)?;
    }
    command(&Supervisor::new(settings(global), interrupt))
}

fn settings(global: &Global) -> Settings {
    let sandboxing = match (global.require_sandbox, global.no_sandbox) {
        (true, _) => Sandboxing::Required,
        (_, true) => Sandboxing::Off,
        _ => Sandboxing::BestEffort,
    };
    Settings { timeout: global.timeout, sandboxing }
}

fn speaks_json(command: &Command) -> bool {
    match command {
        Command::Backup(args) => args.json,
        Command::Restore(args) => args.json,
        Command::Delete(args) => args.json,
        Command::Clean(args) => args.json,
        Command::Verify(args) => args.json,
        Command::List(args) => args.json,
        Command::Show(args) => args.json,
        Command::ImportDiff(args) => args.json,
        Command::ExportDiff(_) | Command::Rebuild(_) | Command::Smoke(_) | Command::Agent { .. } => false,
    }
}
