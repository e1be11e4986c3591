//! Sizes as people write them, and the unit of cost.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use serde::Serialize;

/// The length of a block, which is also Septet's default, bytes.
pub(crate) const BLOCK_BYTES: usize = 1 << 20;

const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

/// A number of bytes, written as `2GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub(crate) struct Size(pub(crate) u64);

impl Size {
    /// The number of blocks.
    ///
    /// # Errors
    /// The size is zero or not a whole number of blocks.
    pub(crate) fn blocks(self) -> anyhow::Result<u64> {
        let block = BLOCK_BYTES as u64;
        ensure!(self.0 > 0 && self.0.is_multiple_of(block), "size {self}: not a whole number of MiB");
        Ok(self.0 / block)
    }
}

impl FromStr for Size {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        for (unit, shift) in UNITS {
            let Some(number) = text.strip_suffix(unit) else { continue };
            let number: u64 = number.trim_end().parse().with_context(|| format!("{text:?}: not a number of {unit}"))?;
            return Ok(Self(number.checked_mul(1 << shift).with_context(|| format!("{text:?}: too large"))?));
        }
        bail!("{text:?}: not a size such as 256MiB or 2GiB")
    }
}

impl fmt::Display for Size {
    /// `2GiB` for a whole number of a unit, otherwise `1.9GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, shift) = UNITS.into_iter().find(|(_, shift)| self.0 >> shift > 0).unwrap_or(("B", 0));
        let whole = self.0 >> shift;
        if whole << shift == self.0 {
            return f.pad(&format!("{whole}{unit}"));
        }
        f.pad(&format!("{:.1}{unit}", self.0 as f64 / f64::from(shift).exp2()))
    }
}

/// The factor from CPU seconds to CPU milliseconds per gigabyte (10^9 bytes) of `bytes`.
pub(crate) fn ms_per_gb(bytes: u64) -> f64 {
    1e12 / bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        for (text, bytes) in [("64KiB", 64 << 10), ("256MiB", 256 << 20), ("2GiB", 2 << 30), ("4TiB", 4 << 40)] {
            assert_eq!(text.parse::<Size>().unwrap(), Size(bytes));
            assert_eq!(Size(bytes).to_string(), text);
        }
        assert_eq!(Size((2 << 30) - (100 << 20)).to_string(), "1.9GiB");
        assert_eq!(Size(17).to_string(), "17B");
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "2", "GiB", "2GB", "-1GiB", "1.5GiB", "99999999999TiB"] {
            assert!(text.parse::<Size>().is_err(), "{text:?} was taken");
        }
        assert!(Size(0).blocks().is_err());
        assert!(Size(4096).blocks().is_err());
        assert_eq!(Size(3 << 20).blocks().unwrap(), 3);
    }

    #[test]
    fn half_a_gigabyte_in_one_second_is_two_thousand_ms_per_gb() {
        assert_eq!(ms_per_gb(500_000_000), 2000.0);
    }
}
