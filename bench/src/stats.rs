//! The results of several rounds: the median and the spread.
//!
//! The median, because noise makes single rounds slower and never faster. It always appears with the least and the
//! greatest value, so that noise is not taken for a difference.

use std::fmt;

use serde::Serialize;

/// The median of some figures with the least and the greatest of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of `figures`; `None` if there are none, or one is not a number.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        if sorted.iter().any(|figure| figure.is_nan()) {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let upper = sorted[sorted.len() / 2];
        let lower = sorted[(sorted.len() - 1) / 2];
        Some(Self { median: f64::midpoint(lower, upper), min, max })
    }

    /// Each figure times `factor`, which is not negative.
    pub(crate) fn scaled(self, factor: f64) -> Self {
        Self { median: self.median * factor, min: self.min * factor, max: self.max * factor }
    }
}

impl fmt::Display for Spread {
    /// `1.52 (1.50–1.61)`, with the requested precision.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        write!(f, "{:.digits$} ({:.digits$}–{:.digits$})", self.median, self.min, self.max)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spread(figures: &[f64]) -> (f64, f64, f64) {
        let spread = Spread::of(figures.iter().copied()).unwrap();
        (spread.median, spread.min, spread.max)
    }

    #[test]
    fn an_odd_number_has_the_middle_one_and_an_even_number_the_mean_of_two() {
        assert_eq!(spread(&[5.0]), (5.0, 5.0, 5.0));
        assert_eq!(spread(&[3.0, 1.0, 2.0]), (2.0, 1.0, 3.0));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), (2.5, 1.0, 4.0));
    }

    #[test]
    fn one_slow_round_does_not_move_the_median() {
        assert_eq!(spread(&[1.0, 1.0, 90.0]), (1.0, 1.0, 90.0));
    }

    #[test]
    fn no_figures_and_no_numbers_have_no_spread() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([1.0, f64::NAN]), None);
    }

    #[test]
    fn it_is_shown_with_the_digits_asked_for() {
        let spread = Spread { median: 1.5, min: 1.0, max: 2.25 };
        assert_eq!(spread.to_string(), "1.50 (1.00–2.25)");
        assert_eq!(format!("{:.0}", spread.scaled(100.0)), "150 (100–225)");
    }

    proptest! {
        #[test]
        fn half_lie_on_each_side(figures in prop::collection::vec(-1e9..1e9f64, 1..50)) {
            let spread = Spread::of(figures.iter().copied()).unwrap();
            let half = figures.len().div_ceil(2);
            prop_assert!(figures.iter().filter(|&&figure| figure <= spread.median).count() >= half);
            prop_assert!(figures.iter().filter(|&&figure| figure >= spread.median).count() >= half);
            prop_assert!(spread.min <= spread.median && spread.median <= spread.max);
        }
    }
}
