//! stub
use crate::args;
use crate::args::Global;
use crate::error::Outcome;
pub(crate) fn run(_: &args::Verify, _: &Global) -> anyhow::Result<Outcome> { anyhow::bail!("not yet") }
