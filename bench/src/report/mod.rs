//! Reports: text for people, and JSON with each round's figures.

mod bare;
mod run;

pub(crate) use bare::BareReport;
pub(crate) use run::Report;

/// A goal's outcome in words.
pub(crate) fn said(met: bool) -> &'static str {
    if met { "met" } else { "NOT MET" }
}
