//! Panels of curves side by side, with logarithmic axes. A curve that is proportional to its cause rises at 45 degrees;
//! one that does not depend on it is flat.

use super::Drawing;

const WIDTH: f64 = 760.0;
const COLUMNS: usize = 2;
const PANEL: (f64, f64) = (WIDTH / COLUMNS as f64, 250.0);
/// Left, top, right and bottom of a panel's curves.
const MARGIN: (f64, f64, f64, f64) = (58.0, 32.0, 24.0, 52.0);
/// The minimum distance of two points' names, so that both are readable.
const TICK_DISTANCE: f64 = 34.0;
const COLOURS: [&str; 5] = ["#1a7f37", "#0969da", "#bc4c00", "#8250df", "#6e7781"];

/// A curve.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// One figure as a function of another.
pub(crate) struct Panel {
    pub(crate) title: String,
    /// The points of the horizontal axis that are named.
    pub(crate) ticks: Vec<(f64, String)>,
    pub(crate) series: Vec<Series>,
}

/// Draws the panels, seconds upwards.
pub(crate) fn panels(title: &str, panels: &[Panel], caption: &[String]) -> String {
    let mut drawing = Drawing::new(WIDTH);
    drawing.text((0.0, 18.0), 16.0, "start", title);
    for (number, panel) in panels.iter().enumerate() {
        let corner = ((number % COLUMNS) as f64 * PANEL.0, 30.0 + (number / COLUMNS) as f64 * PANEL.1);
        draw(&mut drawing, panel, corner);
    }
    let mut y = 30.0 + panels.len().div_ceil(COLUMNS) as f64 * PANEL.1 + 16.0;
    for line in caption {
        drawing.text((0.0, y), 11.0, "start", line);
        y += 15.0;
    }
    drawing.finish(y)
}

fn draw(drawing: &mut Drawing, panel: &Panel, (x, y): (f64, f64)) {
    let (left, top, right, bottom) = MARGIN;
    let all = || panel.series.iter().flat_map(|series| series.points.iter().copied());
    let across = Axis::over(all().map(|point| point.0), x + left, x + PANEL.0 - right);
    // Whole powers of ten, so that a curve's height can be read at a glance.
    let seconds = all()
        .map(|point| point.1.max(1e-3))
        .flat_map(|s| [10_f64.powf(s.log10().floor()), 10_f64.powf(s.log10().ceil())]);
    let up = Axis::over(seconds, y + PANEL.1 - bottom, y + top);
    drawing.text((x + left, y + 18.0), 13.0, "start", &panel.title);
    let mut decade = up.least;
    while decade <= up.most * 1.01 {
        let at = up.place(decade);
        drawing.line(&[(x + left, at), (x + PANEL.0 - right, at)], "#8c959f55", 1.0);
        drawing.text((x + left - 6.0, at + 4.0), 10.0, "end", &format!("{decade} s"));
        decade *= 10.0;
    }
    let mut free_from = x;
    for (value, name) in &panel.ticks {
        let at = across.place(*value);
        if at >= free_from {
            drawing.text((at, y + PANEL.1 - bottom + 14.0), 10.0, "middle", name);
            free_from = at + TICK_DISTANCE;
        }
    }
    let legend = ((PANEL.0 - left) / panel.series.len() as f64).min(100.0);
    for (number, series) in panel.series.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let points: Vec<_> =
            series.points.iter().map(|&(cause, s)| (across.place(cause), up.place(s.max(1e-3)))).collect();
        drawing.line(&points, colour, 1.8);
        points.iter().for_each(|&point| drawing.dot(point, colour));
        let at = (x + left + number as f64 * legend, y + PANEL.1 - 14.0);
        drawing.dot(at, colour);
        drawing.text((at.0 + 7.0, at.1 + 4.0), 11.0, "start", &series.name);
    }
}

/// A logarithmic axis between two positions.
struct Axis {
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (least, most) = values.fold((f64::MAX, f64::MIN_POSITIVE), |(a, b), value| (a.min(value), b.max(value)));
        Self { least, most: most.max(least * 1.0001), from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let share = (value / self.least).ln() / (self.most / self.least).ln();
        self.from + share * (self.to - self.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_is_logarithmic() {
        let axis = Axis::over([1.0, 100.0].into_iter(), 0.0, 200.0);
        assert_eq!([1.0, 10.0, 100.0].map(|value| axis.place(value).round()), [0.0, 100.0, 200.0]);
    }

    #[test]
    fn every_curve_has_its_points_and_its_name() {
        let series = Series { name: "full".to_owned(), points: vec![(1.0, 0.2), (10.0, 2.0)] };
        let panel = Panel { title: "size".to_owned(), ticks: vec![(1.0, "1 GiB".to_owned())], series: vec![series] };
        let text = panels("scale", &[panel], &[]);
        for part in ["full", "size", "1 GiB", "0.1 s", "10 s", "polyline"] {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }
}
