//! Charts as SVG, readable on a light and on a dark page.

mod bars;
mod lines;

use std::fmt::Write;

pub(crate) use bars::{Bar, Group, bars};
pub(crate) use lines::{Panel, Series, panels};

/// An unfinished SVG document.
struct Drawing {
    body: String,
    width: f64,
}

impl Drawing {
    fn new(width: f64) -> Self {
        Self { body: String::new(), width }
    }

    /// Text; `anchor` is `start`, `middle` or `end`.
    fn text(&mut self, (x, y): (f64, f64), size: f64, anchor: &str, text: &str) {
        let text = escaped(text);
        self.add(&format!(r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" text-anchor="{anchor}">{text}</text>"#));
    }

    fn bar(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), colour: &str) {
        self.add(&format!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="1.5" fill="{colour}"/>"#
        ));
    }

    fn line(&mut self, points: &[(f64, f64)], colour: &str, width: f64) {
        let points = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ");
        self.add(&format!(r#"<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"/>"#));
    }

    fn dot(&mut self, (x, y): (f64, f64), colour: &str) {
        self.add(&format!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="2.5" fill="{colour}"/>"#));
    }

    fn add(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }

    /// The document, `height` high.
    fn finish(self, height: f64) -> String {
        let Self { body, width } = self;
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0}" font-family="sans-serif">"#
        );
        text.push_str("<style>text{fill:#24292f}@media(prefers-color-scheme:dark){text{fill:#d0d7de}}</style>\n");
        text + &body + "</svg>\n"
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_closed_and_escaped() {
        let mut drawing = Drawing::new(100.0);
        drawing.text((1.0, 2.0), 10.0, "end", "a < b & c");
        let text = drawing.finish(50.0);
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
        assert!(text.contains("a &lt; b &amp; c") && text.contains(r#"viewBox="0 0 100 50""#));
    }
}
