//! The commands, one a file.

mod attempt;
mod backup;
mod clean;
mod delete;
mod export_diff;
mod import_diff;
mod list;
mod made;
mod place;
mod rbd;
mod rebuild;
mod restore;
mod show;
mod smoke;
mod smoke_store;
mod verify;

use std::process::ExitCode;

use crate::agents;
use crate::args::{Arguments, Command, Global};
use crate::error::{Outcome, exit_status};
use crate::report::failed;
use crate::signals;

/// Carries out what the command line says.
pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let Arguments { command, global } = arguments;
    let json = speaks_json(&command);
    let result = match command {
        Command::Agent { agent } => return agents::run(agent),
        Command::Backup(args) => caught(&global, || backup::run(&args, &global)),
        Command::Restore(args) => caught(&global, || restore::run(&args, &global)),
        Command::Delete(args) => caught(&global, || delete::run(&args, &global)),
        // Each of its deletions is whole by itself: a signal may end it at any time.
        Command::Clean(args) => clean::run(&args, &global),
        Command::Verify(args) => caught(&global, || verify::run(&args, &global)),
        Command::List(args) => list::run(&args),
        Command::Show(args) => show::run(&args),
        // Its one write is atomic: a signal may end it at any time.
        Command::Rebuild(args) => rebuild::run(&args),
        Command::ExportDiff(args) => export_diff::run(&args),
        Command::ImportDiff(args) => caught(&global, || import_diff::run(&args, &global)),
        Command::Smoke(args) => caught(&global, || smoke::run(&args, &global)),
    };
    match result {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            failed(json, &error);
            ExitCode::from(exit_status(&error))
        }
    }
}

/// Runs a command with signals caught, so that it can end in good order.
fn caught(global: &Global, command: impl FnOnce() -> anyhow::Result<Outcome>) -> anyhow::Result<Outcome> {
    signals::catch()?;
    if global.until_eof {
        signals::catch_eof()?;
    }
    command()
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
