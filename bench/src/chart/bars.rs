//! Groups of horizontal bars; each group has its own scale.

use super::Drawing;

const WIDTH: f64 = 800.0;
/// The start of the bars, and the space for the figures behind them.
const LEFT: f64 = 170.0;
const RIGHT: f64 = 130.0;
const ROW: f64 = 18.0;

/// One bar.
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: f64,
    /// The figure behind it.
    pub(crate) text: String,
    /// Whether it is Septet's.
    pub(crate) stands_out: bool,
}

/// Bars that are compared with one another.
pub(crate) struct Group {
    pub(crate) title: String,
    pub(crate) bars: Vec<Bar>,
}

/// Draws the groups below one another, and `caption` below them.
pub(crate) fn bars(title: &str, groups: &[Group], caption: &[String]) -> String {
    let mut drawing = Drawing::new(WIDTH);
    drawing.text((0.0, 18.0), 16.0, "start", title);
    let mut y = 40.0;
    for group in groups {
        drawing.text((0.0, y), 13.0, "start", &group.title);
        y += 8.0;
        let most = group.bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
        for bar in &group.bars {
            let length = (bar.value / most * (WIDTH - LEFT - RIGHT)).max(1.0);
            let colour = if bar.stands_out { "#1a7f37" } else { "#8c959f" };
            drawing.text((LEFT - 8.0, y + 13.0), 12.0, "end", &bar.label);
            drawing.bar((LEFT, y + 2.0), (length, ROW - 5.0), colour);
            drawing.text((LEFT + length + 6.0, y + 13.0), 12.0, "start", &bar.text);
            y += ROW;
        }
        y += 22.0;
    }
    for line in caption {
        drawing.text((0.0, y), 11.0, "start", line);
        y += 15.0;
    }
    drawing.finish(y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_width_and_the_others_follow() {
        let bar = |value| Bar { label: "x".to_owned(), value, text: format!("{value} s"), stands_out: value < 2.0 };
        let group = Group { title: "full".to_owned(), bars: vec![bar(1.0), bar(4.0)] };
        let text = bars("title", &[group], &["caption".to_owned()]);
        assert!(text.contains(r#"width="500.0""#) && text.contains(r#"width="125.0""#), "{text}");
        assert!(text.contains("1 s") && text.contains("caption"));
    }
}
