//! The progress bar: how much is done, how fast, and how long it will take.

use indicatif::{ProgressBar, ProgressStyle};
use septet_ipc::message::Progress;

/// A progress bar on standard error. Shows nothing if that is not a terminal.
pub(crate) struct Bar(ProgressBar);

const BYTES: &str =
    "{msg} {wide_bar} {percent:>3}%  {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta} left";
const OBJECTS: &str = "{msg} {spinner} {pos} objects";

impl Bar {
    pub(crate) fn new(doing: &str) -> Self {
        let bar = ProgressBar::new(0).with_message(doing.to_owned());
        bar.set_style(style(OBJECTS));
        Self(bar)
    }

    pub(crate) fn update(&self, progress: &Progress) {
        if progress.bytes_total == 0 {
            self.0.set_position(progress.objects);
            return;
        }
        if self.0.length() != Some(progress.bytes_total) {
            self.0.set_style(style(BYTES));
            self.0.set_length(progress.bytes_total);
        }
        self.0.set_position(progress.bytes_done.min(progress.bytes_total));
    }

    pub(crate) fn say(&self, text: &str) {
        if self.0.is_hidden() {
            super::lines::complain(text);
        } else {
            self.0.println(text);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
