//! `septet smoke`: tests that this host and the repository are set up correctly.

use septet_engine::{SmokeRequest, Supervisor};

use crate::args::{self, Global};
use crate::error::Outcome;
use crate::report::{Reporter, print_line};

/// Runs the smoke test.
pub(crate) fn run(args: &args::Smoke, global: &Global, runner: &Supervisor) -> anyhow::Result<Outcome> {
    let request = SmokeRequest { repo: args.repo.clone() };
    let repo = request.carry_out(runner, global.timeout, &mut Reporter::new(false, global))?;
    print_line(&format!("smoke test passed: {repo} is ready"));
    Ok(Outcome::Done)
}
