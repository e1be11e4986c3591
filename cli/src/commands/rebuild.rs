//! stub until the library part is there
use crate::args;
use crate::error::Outcome;
pub(crate) fn run(_: &args::Rebuild) -> anyhow::Result<Outcome> { anyhow::bail!("not yet") }
