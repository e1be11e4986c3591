//! The report of `bare`: a table with a row for each kind of volume and a column for each kind of work.

use std::fmt;

use serde::Serialize;

use crate::bare::{BareRow, Work};
use crate::data::Kind;
use crate::machine::Machine;
use crate::stats::Spread;

/// The bare work, on one thread.
#[derive(Debug, Serialize)]
pub(crate) struct BareReport {
    pub(crate) machine: Machine,
    pub(crate) rows: Vec<BareRow>,
}

impl fmt::Display for BareReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}", self.machine.date, self.machine.line())?;
        writeln!(f, "CPU ms per GB of data in the volume, one thread: median (least–greatest)\n")?;
        write!(f, "  {:<16}", "")?;
        Work::ALL.iter().try_for_each(|work| write!(f, "{:>22}", work.to_string()))?;
        writeln!(f, "{:>10}", "LZ4 ratio")?;
        for kind in Kind::ALL {
            let of =
                |work| self.rows.iter().filter(move |row| row.kind == kind && row.work == work).map(|row| &row.bare);
            let Some(lz4) = of(Work::Lz4).next() else { continue };
            write!(f, "  {:<16}", kind.to_string())?;
            for work in Work::ALL {
                let spread = Spread::of(of(work).map(|bare| bare.ms_per_gb()));
                write!(f, "{:>22}", spread.map_or("-".to_owned(), |spread| format!("{spread:.0}")))?;
            }
            writeln!(f, "{:>10}", format!("{:.2}:1", lz4.bytes as f64 / lz4.output_bytes as f64))?;
        }
        Ok(())
    }
}
